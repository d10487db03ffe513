#include "src/checkpoint/alias.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "src/base/atomic_file.h"
#include "src/base/fd.h"
#include "src/base/status_macros.h"
#include "src/base/system_error.h"
#include "src/checkpoint/own_checkpoint.h"
#include "src/checkpoint/reader.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// Returns whether the errno `error` of symlink() or link() means that the file system does not
// support such links. Other errors, such as a full disk, mean only that this link failed.
bool NoSuchLinks(int error) {
  return error == EPERM || error == EOPNOTSUPP || error == ENOSYS || error == EINVAL ||
         error == EMLINK;
}

absl::Status CopyWhole(const std::string& from, const std::string& to) {
  const Fd fd(open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return SystemError("cannot open", from, errno);
  FT_ASSIGN_OR_RETURN(AtomicFile copy, AtomicFile::CreateLarge(to));
  constexpr size_t kChunk = size_t{1} << 20;
  const auto chunk = std::make_unique<char[]>(kChunk);
  while (true) {
    const ssize_t n = read(fd.get(), chunk.get(), kChunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError("cannot read", from, errno);
    if (n == 0) return copy.Commit();
    FT_RETURN_IF_ERROR(copy.Write({chunk.get(), static_cast<size_t>(n)}));
  }
}

}  // namespace

absl::Status PointAlias(const std::string& folder, const std::string& alias,
                        const std::string& target) {
  const std::string path = absl::StrCat(folder, "/", alias);
  const std::string from = absl::StrCat(folder, "/", target);
  const std::string temporary = path + ".newone.tmp";
  unlink(temporary.c_str());
  if (symlink(target.c_str(), temporary.c_str()) != 0) {
    if (!NoSuchLinks(errno)) return SystemError("cannot link", path, errno);
    if (link(from.c_str(), temporary.c_str()) != 0) {
      if (!NoSuchLinks(errno)) return SystemError("cannot link", path, errno);
      return CopyWhole(from, path);
    }
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return SystemError("cannot rename to", path, error);
  }
  // If both names are hard links to the same file, rename() does nothing, and the temporary name is
  // still there.
  unlink(temporary.c_str());
  return SyncFolderOf(path);
}

absl::StatusOr<int64_t> IterationOf(const Value& root) {
  FT_ASSIGN_OR_RETURN(const Value meta, root.Get("meta"));
  return meta.GetInt("iteration");
}

absl::StatusOr<std::string> AliasTarget(const std::string& folder, const std::string& alias,
                                        const std::vector<SavedCheckpoint>& saved) {
  const fs::path path = fs::path(folder) / alias;
  std::error_code error;
  const fs::file_type type = fs::symlink_status(path, error).type();
  if (type == fs::file_type::none) {
    return SystemError("cannot look at", path.string(), error.value());
  }
  if (type == fs::file_type::symlink) {
    std::string target = fs::read_symlink(path, error).string();
    if (error) return SystemError("cannot read the link", path.string(), error.value());
    return target;
  }
  if (type != fs::file_type::regular) return "";
  FT_ASSIGN_OR_RETURN(const bool own, IsOwnCheckpoint(path));
  if (!own) return "";
  for (const SavedCheckpoint& one : saved) {
    if (fs::equivalent(path, fs::path(folder) / one.name, error)) return one.name;
  }
  const absl::StatusOr<Value> root = ReadTorchFile(path, {"meta"});
  const absl::StatusOr<int64_t> iteration = root.ok() ? IterationOf(*root) : root.status();
  for (const SavedCheckpoint& one : saved) {
    if (iteration.ok() && one.iteration == *iteration) return one.name;
  }
  return "";
}

}  // namespace finetune
