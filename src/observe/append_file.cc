#include "src/observe/append_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/system_error.h"

namespace finetune {

absl::StatusOr<AppendFile> AppendFile::Open(const std::string& path) {
  Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  struct stat status = {};
  if (!fd.ok() || fstat(fd.get(), &status) != 0) return SystemError("cannot write", path, errno);
  return AppendFile(path, std::move(fd), status.st_size);
}

absl::Status AppendFile::Append(absl::string_view record) {
  const auto whole = static_cast<int64_t>(record.size());
  while (!record.empty()) {
    const ssize_t n = write(fd_.get(), record.data(), record.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      absl::Status error = SystemError("cannot write", path_, errno);
      if (ftruncate(fd_.get(), size_) == 0) return error;
      return absl::Status(error.code(),
                          absl::StrCat(error.message(), "; its last record is cut short"));
    }
    record.remove_prefix(n);
  }
  size_ += whole;
  return absl::OkStatus();
}

absl::Status AppendFile::Flush() {
  // On NFS, closing any descriptor of a file sends the cached writes and returns their errors. So a
  // copy of the descriptor is closed.
  const int fd = dup(fd_.get());
  if (fd < 0 || close(fd) != 0) return SystemError("cannot write", path_, errno);
  return absl::OkStatus();
}

}  // namespace finetune
