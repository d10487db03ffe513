#ifndef FINETUNE_TESTS_JOB_H_
#define FINETUNE_TESTS_JOB_H_

#include <sys/types.h>

#include <string>

#include "absl/time/time.h"

namespace finetune {

struct Outcome {
  int exit_code = -1;  // 128 + N: ended by signal N
  std::string output;  // stdout and stderr
};

// A shell command in the background, with its output in a file. All processes that the command
// starts are waited for and killed by this process, so only one Job may exist at a time.
class Job {
 public:
  // Much longer than any job takes that does not hang.
  static constexpr absl::Duration kLimit = absl::Seconds(120);

  Job(const std::string& command, std::string output);
  // Kills the processes that are left.
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // Returns the process id of the command itself: mpirun's.
  pid_t pid() const { return pid_; }

  // Waits until the output has `text`. Returns false where the command ended without it or hangs;
  // then it is killed and the test fails.
  bool WaitFor(const std::string& text);

  // Returns the process of rank `rank`, which runs on this host; -1 where there is none.
  pid_t PidOfRank(int rank) const;

  // Waits until the command and all its processes have ended. After kLimit they are killed and the
  // test fails.
  Outcome Wait();

 private:
  // Reaps ended processes. Returns true when none is left.
  bool Over();
  // Beyond the limit: kills all processes and fails the test.
  bool HangsAndIsKilled();
  std::string Output() const;

  pid_t pid_ = -1;
  std::string output_;
  absl::Time deadline_;
  bool ended_ = false;  // the command itself
  int status_ = 0;
};

}  // namespace finetune

#endif  // FINETUNE_TESTS_JOB_H_
