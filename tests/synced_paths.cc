#include "tests/synced_paths.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>
#include <system_error>

namespace finetune {
namespace {

// The paths of the fsync() calls of all threads, in the order of the calls.
struct Calls {
  std::mutex mutex;
  std::vector<std::string> paths;
};

Calls& AllCalls() {
  static Calls calls;
  return calls;
}

}  // namespace

std::vector<std::string> SyncedPaths() {
  Calls& calls = AllCalls();
  const std::lock_guard<std::mutex> lock(calls.mutex);
  return calls.paths;
}

}  // namespace finetune

extern "C" int fsync(int fd) {
  std::error_code error;
  const std::string path =
      std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), error).string();
  finetune::Calls& calls = finetune::AllCalls();
  {
    const std::lock_guard<std::mutex> lock(calls.mutex);
    calls.paths.push_back(path);
  }
  return static_cast<int>(syscall(SYS_fsync, fd));
}
