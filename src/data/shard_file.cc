#include "src/data/shard_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "src/base/system_error.h"

namespace finetune {
namespace {

absl::StatusOr<Fd> OpenShard(const std::string& path) {
  // O_NONBLOCK: if `path` is a named pipe, open() must not wait for a writer.
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.ok()) return fd;
  const int error = errno;
  const char* const advice =
      error == ENOENT   ? "; its manifest lists it"
      : error == EMFILE ? "; the process may have no more files open: raise `ulimit -n`"
      : error == ENFILE ? "; the host has too many files open in all its processes"
                        : "";
  const absl::Status status = SystemError("cannot open", path, error);
  return absl::Status(status.code(), absl::StrCat(status.message(), advice));
}

}  // namespace

absl::StatusOr<ShardFile> ShardFile::Open(std::string path) {
  FT_ASSIGN_OR_RETURN(Fd fd, OpenShard(path));
  ShardFile file(std::move(path), std::move(fd));
  struct stat info;
  if (fstat(file.fd_.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::DataLossError(absl::StrCat(file.path_, ": expected a regular file"));
  }
  file.size_ = info.st_size;
  file.device_ = info.st_dev;
  file.inode_ = info.st_ino;
  return file;
}

absl::StatusOr<Fd> ShardFile::OpenAgain() const {
  FT_ASSIGN_OR_RETURN(Fd fd, OpenShard(path_));
  struct stat info;
  if (fstat(fd.get(), &info) != 0 || info.st_dev != device_ || info.st_ino != inode_) {
    return absl::DataLossError(absl::StrCat(
        path_, ": another file took its place while it was in use. Start the run again"));
  }
  return fd;
}

absl::Status ShardFile::Read(int64_t at, int64_t size, uint8_t* bytes) const {
  Fd again;
  if (!fd_.ok()) {
    FT_ASSIGN_OR_RETURN(again, OpenAgain());
  }
  const int fd = fd_.ok() ? fd_.get() : again.get();
  while (size > 0) {
    const ssize_t n = pread(fd, bytes, size, at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      return absl::DataLossError(absl::StrCat(
          path_, ": cannot read byte ", at, ": ",
          n == 0 ? "the file was cut short while it was in use" : std::strerror(errno)));
    }
    bytes += n;
    at += n;
    size -= n;
  }
  return absl::OkStatus();
}

absl::Status SyncFile(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok() || TEMP_FAILURE_RETRY(fsync(fd.get())) != 0) {
    return SystemError("cannot sync", path, errno);
  }
  return absl::OkStatus();
}

}  // namespace finetune
