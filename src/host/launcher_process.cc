#include "src/host/launcher_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/host/kernel_file.h"

namespace finetune {
namespace {

// The number of ancestors of this process that are searched for the launcher. There are usually at
// most a shell or two between a rank and its launcher.
constexpr int kGenerations = 8;

std::string Contents(pid_t pid, const char* file) {
  return KernelFile(absl::StrCat("/proc/", pid, "/", file));
}

std::string NameOf(pid_t pid) {
  return std::string(absl::StripAsciiWhitespace(Contents(pid, "comm")));
}

// Returns whether `name` is the process that starts ranks in an MPI. Open MPI 4: mpirun (also
// called mpiexec and orterun), and orted on other hosts. Open MPI 5: prterun, and prted on other
// hosts. MPICH: hydra_pmi_proxy, which mpiexec starts on every host.
bool IsMpiLauncher(absl::string_view name) {
  constexpr absl::string_view kNames[] = {"mpirun",  "mpiexec", "orterun",        "orted",
                                          "prterun", "prted",   "hydra_pmi_proxy"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

// Returns the id of the parent process of `pid`, or 0 where it cannot be read.
pid_t ParentOf(pid_t pid) {
  // The file is "PID (NAME) STATE PARENT ...". NAME may contain spaces and brackets, so the fields
  // are counted from the last ')'.
  const std::string stat = Contents(pid, "stat");
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return 0;
  const std::vector<std::string> fields =
      absl::StrSplit(stat.substr(name_end + 1), ' ', absl::SkipEmpty());
  int parent = 0;
  return fields.size() > 1 && absl::SimpleAtoi(fields[1], &parent) ? parent : 0;
}

}  // namespace

std::optional<LauncherProcess> FindLauncherProcess() {
  pid_t pid = getppid();
  for (int generation = 0; generation < kGenerations && pid > 1; ++generation) {
    LauncherProcess launcher{pid, NameOf(pid), {}, {}};
    if (IsMpiLauncher(launcher.name) || launcher.IsSlurms()) {
      launcher.arguments = absl::StrSplit(Contents(pid, "cmdline"), '\0', absl::SkipEmpty());
      launcher.environment = absl::StrSplit(Contents(pid, "environ"), '\0', absl::SkipEmpty());
      return launcher;
    }
    pid = ParentOf(pid);
  }
  return std::nullopt;
}

void EndLauncherAfter(absl::Duration grace) {
  const pid_t launcher = getppid();
  // A pidfd never refers to a later process with the same id.
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, launcher, 0));
  if (handle < 0) return;
  if (getppid() != launcher || !IsMpiLauncher(NameOf(launcher))) {
    close(handle);
    return;
  }
  const int milliseconds = static_cast<int>(absl::ToInt64Milliseconds(grace));
  if (fork() != 0) {
    close(handle);
    return;
  }
  // From here on this is the forked child. Locks that other threads held at the fork stay locked in
  // it, so it makes only system calls. It leaves the rank's process group, because the launcher
  // kills that group. It closes the rank's output pipes, because the launcher waits until they are
  // closed.
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
