#ifndef FINETUNE_OBSERVE_APPEND_FILE_H_
#define FINETUNE_OBSERVE_APPEND_FILE_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "src/base/fd.h"
#include "src/base/status_macros.h"

namespace finetune {

// A file to which records are appended, while other programs may read it. If a record cannot be
// written to its end (because the disk is full), the part that was written is removed. So the file
// always ends with a complete record, and a later Append() can continue.
class AppendFile {
 public:
  // Opens `path`, or creates it. Records are appended to its present content. Errors: those of
  // SystemError().
  static absl::StatusOr<AppendFile> Open(const std::string& path);

  // Writes a record at the end of the file. Errors: those of SystemError(), such as
  // ResourceExhausted for a full disk or quota.
  absl::Status Append(absl::string_view record);

  // Makes a network file system send what it has cached, which some do only when a file is closed,
  // and returns the errors that it reports only then. Errors: those of SystemError().
  absl::Status Flush();

  const std::string& path() const { return path_; }

 private:
  AppendFile(std::string path, Fd fd, int64_t size)
      : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}

  std::string path_;
  Fd fd_;
  int64_t size_;  // bytes of all complete records
};

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_APPEND_FILE_H_
