#include "src/checkpoint/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/base/system_error.h"

namespace finetune {

absl::StatusOr<InputFile> InputFile::Open(const std::string& path) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer.
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info = {};
  if (!fd.ok() || fstat(fd.get(), &info) != 0) return SystemError("cannot open", path, errno);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is ", S_ISDIR(info.st_mode) ? "a folder" : "not a regular file"));
  }
  return InputFile(path, std::move(fd), info.st_size);
}

absl::Status InputFile::Read(uint64_t offset, void* to, uint64_t n) const {
  char* out = static_cast<char*>(to);
  while (n > 0) {
    const ssize_t got =
        pread(fd_.get(), out, std::min<uint64_t>(n, 1 << 30), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::InternalError(absl::StrCat("cannot read: ", std::strerror(errno)));
    if (got == 0) {
      return absl::OutOfRangeError(
          absl::StrCat("it ends at byte ", offset, ", ", n, " bytes early"));
    }
    out += got;
    offset += got;
    n -= got;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> InputFile::Read(uint64_t offset, uint64_t n) const {
  if (offset > size_ || n > size_ - offset) {
    return absl::OutOfRangeError(
        absl::StrCat("it ends at byte ", size_, ", before byte ", offset, " + ", n));
  }
  std::string bytes(n, '\0');
  FT_RETURN_IF_ERROR(Read(offset, bytes.data(), n));
  return bytes;
}

}  // namespace finetune
