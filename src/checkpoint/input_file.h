#ifndef FINETUNE_CHECKPOINT_INPUT_FILE_H_
#define FINETUNE_CHECKPOINT_INPUT_FILE_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/base/fd.h"

namespace finetune {

// A regular file, open for reading at any offset. The file is not mapped into memory, because a
// mapped file that another process truncates kills the reader.
class InputFile {
 public:
  // Errors: those of SystemError, InvalidArgument where the path is not a regular file.
  static absl::StatusOr<InputFile> Open(const std::string& path);

  // Returns the file's size in bytes when it was opened.
  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }

  // Reads exactly n bytes from `offset`. Errors: OutOfRange if the file ends earlier; Internal.
  absl::Status Read(uint64_t offset, void* to, uint64_t n) const;
  // Returns n bytes from `offset`. Before it allocates memory, it checks that the file has n bytes.
  absl::StatusOr<std::string> Read(uint64_t offset, uint64_t n) const;

 private:
  InputFile(std::string path, Fd fd, uint64_t size)
      : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}

  std::string path_;
  Fd fd_;
  uint64_t size_;
};

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_INPUT_FILE_H_
