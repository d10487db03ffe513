#include "src/host/open_files.h"

#include <sys/resource.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace finetune {

absl::Status AllowOpenFiles() {
  constexpr rlim_t kUsual = 1024;
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kLeastOpenFiles) {
    return absl::OkStatus();
  }
  const rlim_t found = limit.rlim_cur;
  limit.rlim_cur = std::min(limit.rlim_max, kUsual);
  if (limit.rlim_cur >= kLeastOpenFiles && setrlimit(RLIMIT_NOFILE, &limit) == 0) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "found a limit of ", found,
      " open files and sockets (file descriptors) for a "
      "process, expected at least ",
      kLeastOpenFiles, "; raise it: ulimit -n ", kUsual, ", or what sets it in this job"));
}

}  // namespace finetune
