#include "src/base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace finetune {
namespace {

absl::Status SystemError(absl::string_view what, absl::string_view path, int error) {
  const std::string message = absl::StrCat(what, " ", path, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::InternalError(message);
  }
}

}  // namespace

absl::StatusOr<AtomicFile> AtomicFile::Create(const std::string& path) {
  std::string temporary = absl::StrCat(path, ".XXXXXX.tmp");
  const int fd = mkostemps(temporary.data(), /*suffixlen=*/4, O_CLOEXEC);
  if (fd < 0) return SystemError("cannot create", path, errno);
  // mkstemp makes files private; a result is as readable as any other file of its user.
  const mode_t mask = umask(0);
  umask(mask);
  fchmod(fd, 0666 & ~mask);
  return AtomicFile(path, std::move(temporary), fd);
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_path_(std::move(other.temporary_path_)),
      fd_(std::exchange(other.fd_, -1)) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  if (this != &other) {
    Discard();
    path_ = std::move(other.path_);
    temporary_path_ = std::move(other.temporary_path_);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

AtomicFile::~AtomicFile() { Discard(); }

void AtomicFile::Discard() {
  if (fd_ < 0) return;
  close(std::exchange(fd_, -1));
  unlink(temporary_path_.c_str());
}

absl::Status AtomicFile::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd_, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return SystemError("cannot write", path_, errno);
    }
    bytes.remove_prefix(n);
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::Commit() {
  if (fsync(fd_) != 0) return SystemError("cannot sync", path_, errno);
  // close() reports what a network file system could not write until then.
  if (close(std::exchange(fd_, -1)) != 0) {
    const int error = errno;
    unlink(temporary_path_.c_str());
    return SystemError("cannot close", path_, error);
  }
  if (rename(temporary_path_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    unlink(temporary_path_.c_str());
    return SystemError("cannot rename to", path_, error);
  }
  std::string folder = std::filesystem::path(path_).parent_path().string();
  if (folder.empty()) folder = ".";
  const int folder_fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd < 0) return SystemError("cannot open", folder, errno);
  // Some file systems cannot sync a folder (EINVAL); the rename is then as durable as they make it.
  const int synced = fsync(folder_fd) == 0 ? 0 : errno;
  close(folder_fd);
  if (synced != 0 && synced != EINVAL) return SystemError("cannot sync", folder, synced);
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view bytes) {
  FT_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  FT_RETURN_IF_ERROR(file.Write(bytes));
  return file.Commit();
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return SystemError("cannot open", path, errno);
  std::string bytes;
  char chunk[1 << 16];
  while (true) {
    const ssize_t n = read(fd, chunk, sizeof(chunk));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      close(fd);
      return SystemError("cannot read", path, error);
    }
    if (n == 0) break;
    if (bytes.size() + n > max_bytes) {
      close(fd);
      return absl::OutOfRangeError(
          absl::StrCat(path, " is larger than the ", max_bytes, " bytes expected of it"));
    }
    bytes.append(chunk, n);
  }
  close(fd);
  return bytes;
}

}  // namespace finetune
