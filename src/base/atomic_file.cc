#include "src/base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"
#include "src/base/system_error.h"

namespace finetune {
namespace {

// O_DIRECT wants addresses, offsets and sizes that are multiples of the disk's block size. 4096 is
// a multiple of every usual one.
constexpr size_t kAlignment = 4096;
constexpr size_t kBufferBytes = size_t{2} << 20;

}  // namespace

absl::StatusOr<AtomicFile> AtomicFile::Create(const std::string& path) {
  // The rename would put a plain file in the place of the device or pipe, and fail for a folder.
  struct stat found = {};
  if (stat(path.c_str(), &found) == 0 && !S_ISREG(found.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": found ", S_ISDIR(found.st_mode) ? "a folder" : "a device, a pipe or a socket",
        "; expected a file, or a new name"));
  }
  std::string temporary = absl::StrCat(path, ".XXXXXX.tmp");
  Fd fd(mkostemps(temporary.data(), /*suffixlen=*/4, O_CLOEXEC));
  if (!fd.ok()) return SystemError("cannot create", path, errno);
  // mkstemp makes a file private. A result is as readable as any other file of its user.
  const mode_t mask = umask(0);
  umask(mask);
  fchmod(fd.get(), 0666 & ~mask);
  return AtomicFile(path, std::move(temporary), std::move(fd));
}

absl::StatusOr<AtomicFile> AtomicFile::CreateLarge(const std::string& path) {
  FT_ASSIGN_OR_RETURN(AtomicFile file, Create(path));
  if (file.SetDirect(true)) {
    file.buffer_.reset(static_cast<char*>(std::aligned_alloc(kAlignment, kBufferBytes)));
    if (file.buffer_ == nullptr) file.SetDirect(false);
  }
  return file;
}

bool AtomicFile::SetDirect(bool direct) {
  const int flags = fcntl(fd_.get(), F_GETFL);
  return flags != -1 &&
         fcntl(fd_.get(), F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

AtomicFile::~AtomicFile() {
  if (fd_.ok()) unlink(temporary_path_.c_str());
}

absl::Status AtomicFile::Write(absl::string_view bytes) {
  if (buffer_ == nullptr) return WriteThrough(bytes);
  while (!bytes.empty()) {
    const size_t n = std::min(bytes.size(), kBufferBytes - buffered_);
    std::memcpy(buffer_.get() + buffered_, bytes.data(), n);
    bytes.remove_prefix(n);
    buffered_ += n;
    if (buffered_ == kBufferBytes) {
      buffered_ = 0;
      FT_RETURN_IF_ERROR(WriteThrough({buffer_.get(), kBufferBytes}));
    }
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::WriteThrough(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd_.get(), bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      // The rest is not a multiple of the block size, so it is written without O_DIRECT.
      if (errno == EINVAL && buffer_ != nullptr && SetDirect(false)) continue;
      return SystemError("cannot write", path_, errno);
    }
    bytes.remove_prefix(n);
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::WriteBuffer() {
  if (buffered_ == 0) return absl::OkStatus();
  // The end of a file is seldom a multiple of the block size.
  SetDirect(false);
  return WriteThrough({buffer_.get(), buffered_});
}

absl::Status AtomicFile::Rename() {
  // A network file system may report a failed write only here.
  if (close(fd_.Release()) != 0) {
    const int error = errno;
    unlink(temporary_path_.c_str());
    return SystemError("cannot close", path_, error);
  }
  if (rename(temporary_path_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    unlink(temporary_path_.c_str());
    return SystemError("cannot rename to", path_, error);
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::CommitUnsynced() {
  FT_RETURN_IF_ERROR(WriteBuffer());
  return Rename();
}

absl::Status AtomicFile::Commit() {
  FT_RETURN_IF_ERROR(WriteBuffer());
  if (TEMP_FAILURE_RETRY(fsync(fd_.get())) != 0) return SystemError("cannot sync", path_, errno);
  FT_RETURN_IF_ERROR(Rename());
  return SyncFolderOf(path_);
}

absl::string_view FinalNameOf(absl::string_view name) {
  constexpr size_t kRandom = 6;
  if (!absl::ConsumeSuffix(&name, ".tmp")) return "";
  const size_t dot = name.rfind('.');
  if (dot == absl::string_view::npos) return "";
  const absl::string_view random = name.substr(dot + 1);
  const bool matches =
      random.size() == kRandom && std::all_of(random.begin(), random.end(), absl::ascii_isalnum);
  return matches ? name.substr(0, dot) : "";
}

absl::Status SyncFolderOf(const std::string& path) {
  std::string folder = std::filesystem::path(path).parent_path().string();
  if (folder.empty()) folder = ".";
  const Fd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.ok()) return SystemError("cannot open", folder, errno);
  // Some file systems cannot sync a folder (EINVAL). The rename is then as durable as they make it.
  if (TEMP_FAILURE_RETRY(fsync(fd.get())) != 0 && errno != EINVAL) {
    return SystemError("cannot sync", folder, errno);
  }
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view bytes) {
  FT_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  FT_RETURN_IF_ERROR(file.Write(bytes));
  return file.Commit();
}

namespace {

absl::StatusOr<std::string> ReadAll(const Fd& fd, const std::string& path, size_t max_bytes) {
  std::string bytes;
  char chunk[1 << 16];
  while (true) {
    const ssize_t n = read(fd.get(), chunk, sizeof(chunk));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError("cannot read", path, errno);
    if (n == 0) return bytes;
    if (bytes.size() + n > max_bytes) {
      return absl::OutOfRangeError(
          absl::StrCat(path, " is larger than the ", max_bytes, " bytes expected of it"));
    }
    bytes.append(chunk, n);
  }
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return SystemError("cannot open", path, errno);
  return ReadAll(fd, path, max_bytes);
}

absl::StatusOr<Fd> OpenRegularFile(const std::string& path) {
  // O_NONBLOCK: opening a pipe must not wait for its other end.
  Fd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd.ok()) return SystemError("cannot open", path, errno);
  struct stat found = {};
  if (fstat(fd.get(), &found) != 0) return SystemError("cannot read", path, errno);
  if (S_ISREG(found.st_mode)) return fd;
  return absl::InvalidArgumentError(absl::StrCat(path, ": expected a file, found ",
                                                 S_ISDIR(found.st_mode)    ? "a folder"
                                                 : S_ISFIFO(found.st_mode) ? "a pipe"
                                                                           : "a device"));
}

absl::StatusOr<std::string> ReadRegularFile(const std::string& path, size_t max_bytes) {
  FT_ASSIGN_OR_RETURN(const Fd fd, OpenRegularFile(path));
  return ReadAll(fd, path, max_bytes);
}

}  // namespace finetune
