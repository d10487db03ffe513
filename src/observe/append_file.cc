#include "src/observe/append_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace finetune {

absl::StatusOr<AppendFile> AppendFile::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  struct stat status = {};
  if (fd < 0 || fstat(fd, &status) != 0) {
    const std::string message = absl::StrCat("cannot write ", path, ": ", std::strerror(errno));
    if (fd >= 0) close(fd);
    return absl::PermissionDeniedError(message);
  }
  return AppendFile(path, fd, status.st_size);
}

AppendFile::AppendFile(AppendFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}

AppendFile& AppendFile::operator=(AppendFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  return *this;
}

AppendFile::~AppendFile() {
  if (fd_ >= 0) close(fd_);
}

absl::Status AppendFile::Append(absl::string_view record) {
  const auto whole = static_cast<int64_t>(record.size());
  while (!record.empty()) {
    const ssize_t n = write(fd_, record.data(), record.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      std::string message = absl::StrCat("cannot write ", path_, ": ", std::strerror(error));
      if (ftruncate(fd_, size_) != 0) absl::StrAppend(&message, "; its last record is cut short");
      return error == ENOSPC || error == EDQUOT || error == EFBIG
                 ? absl::ResourceExhaustedError(message)
                 : absl::InternalError(message);
    }
    record.remove_prefix(n);
  }
  size_ += whole;
  return absl::OkStatus();
}

}  // namespace finetune
