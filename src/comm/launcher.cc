#include "src/comm/launcher.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace finetune {
namespace {

bool IsOpenMpi(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/comm"));
  std::string name;
  std::getline(file, name);
  constexpr absl::string_view kNames[] = {"mpirun", "mpiexec", "orterun", "orted"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

}  // namespace

void EndLauncherAfter(absl::Duration grace) {
  const pid_t launcher = getppid();
  // A handle that never comes to mean another process.
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, launcher, 0));
  if (handle < 0) return;
  if (getppid() != launcher || !IsOpenMpi(launcher)) {
    close(handle);
    return;
  }
  const int milliseconds = static_cast<int>(absl::ToInt64Milliseconds(grace));
  if (fork() != 0) {
    close(handle);
    return;
  }
  // Of a process with threads: only system calls from here on. Out of the rank's process group,
  // which the launcher kills, and with none of the pipes whose end it waits for.
  setsid();
  dup2(handle, 0);
  close_range(1, ~0U, 0);
  pollfd launcher_ends = {0, POLLIN, 0};
  if (poll(&launcher_ends, 1, milliseconds) == 0) {
    syscall(SYS_pidfd_send_signal, 0, SIGKILL, nullptr, 0);
  }
  _exit(0);
}

}  // namespace finetune
