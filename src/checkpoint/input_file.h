#ifndef FINETUNE_CHECKPOINT_INPUT_FILE_H_
#define FINETUNE_CHECKPOINT_INPUT_FILE_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/base/fd.h"

namespace finetune {

// A regular file, open for reading at any offset. It is not mapped into memory: if another process
// truncates a mapped file, the reader is killed by a signal.
class InputFile {
 public:
  // Opens `path`. Errors: those of SystemError(); InvalidArgument if the path is not a regular
  // file.
  static absl::StatusOr<InputFile> Open(const std::string& path);

  // Returns the size that the file had when it was opened, in bytes.
  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }

  // Reads exactly `n` bytes, beginning at byte `offset`, into `to`. Errors: OutOfRange if the file
  // ends before; Internal if the system cannot read it.
  absl::Status Read(uint64_t offset, void* to, uint64_t n) const;
  // Returns exactly `n` bytes, beginning at byte `offset`. It checks that the file is long enough
  // before it allocates memory. Errors: as above.
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
