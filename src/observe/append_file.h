#ifndef FINETUNE_OBSERVE_APPEND_FILE_H_
#define FINETUNE_OBSERVE_APPEND_FILE_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "src/base/fd.h"
#include "src/base/status_macros.h"

namespace finetune {

// A file of records that grows while others read it. A record is there whole or not at all: where
// it cannot be written to its end (a full disk), its written part is removed. So a later record,
// when there is room again, follows the last whole one.
class AppendFile {
 public:
  // Opens or creates `path` and appends to what it holds. Errors: those of SystemError.
  static absl::StatusOr<AppendFile> Open(const std::string& path);

  // Errors: those of SystemError (ResourceExhausted for a full disk or quota).
  absl::Status Append(absl::string_view record);

  // A network file system may report only here that it could not write an earlier record. Errors:
  // those of SystemError.
  absl::Status Flush();

  const std::string& path() const { return path_; }

 private:
  AppendFile(std::string path, Fd fd, int64_t size)
      : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}

  std::string path_;
  Fd fd_;
  int64_t size_;  // of the whole records
};

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_APPEND_FILE_H_
