#include "tests/job.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/host/launch_environment.h"

namespace finetune {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(20);

std::vector<pid_t> ChildrenOf(pid_t parent) {
  std::vector<pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    int pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    const auto stat = ReadFile(entry.path() / "stat");
    if (!stat.ok()) continue;  // the process has ended
    // "PID (NAME) STATE PARENT ..."
    const std::vector<std::string> fields =
        absl::StrSplit(stat->substr(stat->rfind(')') + 1), ' ', absl::SkipEmpty());
    if (fields.size() > 1 && fields[1] == absl::StrCat(parent)) children.push_back(pid);
  }
  return children;
}

}  // namespace

Job::Job(const std::string& command, std::string output)
    : output_(std::move(output)), deadline_(absl::Now() + kLimit) {
  // mpirun's daemons detach from mpirun. With this setting they become children of this process.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  pid_ = fork();
  if (pid_ == 0) {
    setpgid(0, 0);
    const std::string line = absl::StrCat("exec ", command, " > ", output_, " 2>&1 < /dev/null");
    execl("/bin/bash", "bash", "-c", line.c_str(), nullptr);
    _exit(127);
  }
}

Job::~Job() {
  while (!Over()) {
    // The children of the killed processes become children of this process in the next round.
    for (const pid_t child : ChildrenOf(getpid())) kill(child, SIGKILL);
    absl::SleepFor(kPoll);
  }
}

bool Job::Over() {
  while (true) {
    int status = 0;
    const pid_t ended = waitpid(-1, &status, WNOHANG);
    if (ended <= 0) return ended < 0;
    if (ended != pid_) continue;
    ended_ = true;
    status_ = status;
  }
}

bool Job::HangsAndIsKilled() {
  if (absl::Now() < deadline_) return false;
  std::string left;
  for (const pid_t child : ChildrenOf(getpid())) {
    std::string line = ReadFile(absl::StrCat("/proc/", child, "/cmdline")).value_or("");
    for (char& c : line) c = c == '\0' ? ' ' : c;
    absl::StrAppend(&left, "\n", child, ": ", line);
  }
  while (!Over()) {
    for (const pid_t child : ChildrenOf(getpid())) kill(child, SIGKILL);
    absl::SleepFor(kPoll);
  }
  ADD_FAILURE() << "the job hung, and was killed after " << kLimit
                << ". What was left of it:" << left << "\nIts output:\n"
                << Output();
  return true;
}

std::string Job::Output() const { return ReadFile(output_).value_or(""); }

bool Job::WaitFor(const std::string& text) {
  while (true) {
    const bool over = Over();
    if (absl::StrContains(Output(), text)) return true;
    if (over || ended_ || HangsAndIsKilled()) return false;
    absl::SleepFor(kPoll);
  }
}

pid_t Job::PidOfRank(int rank) const {
  // MPICH's mpiexec has a daemon between itself and the ranks.
  std::vector<pid_t> todo = ChildrenOf(pid_);
  while (!todo.empty()) {
    const pid_t process = todo.back();
    todo.pop_back();
    const std::string environment =
        ReadFile(absl::StrCat("/proc/", process, "/environ")).value_or("");
    const std::vector<std::string> variables = absl::StrSplit(environment, '\0');
    const Launch launch = ReadLaunch([&](const char* name) -> const char* {
      const std::string prefix = absl::StrCat(name, "=");
      for (const std::string& variable : variables) {
        if (absl::StartsWith(variable, prefix)) return variable.c_str() + prefix.size();
      }
      return nullptr;
    });
    if (launch.launcher != Launcher::kNone && launch.rank == rank) return process;
    for (const pid_t child : ChildrenOf(process)) todo.push_back(child);
  }
  return -1;
}

Outcome Job::Wait() {
  while (!Over() && !HangsAndIsKilled()) absl::SleepFor(kPoll);
  Outcome outcome;
  outcome.exit_code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
  outcome.output = Output();
  return outcome;
}

}  // namespace finetune
