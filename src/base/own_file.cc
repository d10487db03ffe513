#include "src/base/own_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "src/base/atomic_file.h"
#include "src/base/fd.h"
#include "src/base/status_macros.h"
#include "src/base/system_error.h"

namespace finetune {

absl::Status ForeignFileError(absl::string_view path) {
  return absl::AlreadyExistsError(
      absl::StrCat(path,
                   ": found a file that finetune did not write, and finetune replaces only its "
                   "own; move it away, or choose another place"));
}

absl::Status CheckOwnText(const std::string& path, absl::string_view first_line) {
  // O_NONBLOCK: opening a pipe must not wait for its other end.
  const Fd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd.ok() && errno == ENOENT) return absl::OkStatus();
  if (!fd.ok()) return SystemError("cannot open", path, errno);
  std::string head(first_line.size() + 1, '\0');
  const ssize_t n = TEMP_FAILURE_RETRY(pread(fd.get(), head.data(), head.size(), 0));
  if (n < 0 && errno != EISDIR) return SystemError("cannot read", path, errno);
  // A crash of the machine may leave a file that was just renamed without its bytes.
  if (n >= 0 && head.find_first_not_of('\0') == std::string::npos) return absl::OkStatus();
  return n == static_cast<ssize_t>(head.size()) && head == absl::StrCat(first_line, "\n")
             ? absl::OkStatus()
             : ForeignFileError(path);
}

absl::StatusOr<bool> SetAside(const std::string& path, absl::string_view first_line) {
  const absl::Status own = CheckOwnText(path, first_line);
  if (own.ok()) return false;
  if (!absl::IsAlreadyExists(own)) return own;
  const std::string aside = path + ".bak";
  if (access(aside.c_str(), F_OK) == 0) {
    return absl::AlreadyExistsError(absl::StrCat(path, " cannot be renamed to ", aside,
                                                 ", which exists: move one of them away"));
  }
  if (std::rename(path.c_str(), aside.c_str()) != 0) {
    return SystemError("cannot rename", path, errno);
  }
  return true;
}

absl::Status WriteOwnText(const std::string& path, absl::string_view first_line,
                          absl::string_view text) {
  FT_RETURN_IF_ERROR(CheckOwnText(path, first_line));
  return WriteFileAtomically(path, absl::StrCat(first_line, "\n", text));
}

}  // namespace finetune
