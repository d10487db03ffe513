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

// A shell command that runs in the background and writes its output to a file. The object waits for
// and kills all processes that the command starts, so only one Job may exist at a time.
class Job {
 public:
  // Every job that does not hang takes much less time than this.
  static constexpr absl::Duration kLimit = absl::Seconds(120);

  Job(const std::string& command, std::string output);
  // Kills the processes that are left.
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // Returns the process id of the command itself, which is mpirun's.
  pid_t pid() const { return pid_; }

  // Waits until the output contains `text`. Returns false if the command ends before that or hangs;
  // if it hangs it is killed and the test fails.
  bool WaitFor(const std::string& text);

  // Returns the process of rank `rank`, which runs on this host; -1 where there is none.
  pid_t PidOfRank(int rank) const;

  // Waits until the command and all its processes have ended. After kLimit they are killed and the
  // test fails.
  Outcome Wait();

 private:
  // Reaps ended processes. Returns true when none is left.
  bool Over();
  // Returns whether the time limit has passed. If so, kills all processes and fails the test.
  bool HangsAndIsKilled();
  std::string Output() const;

  pid_t pid_ = -1;
  std::string output_;
  absl::Time deadline_;
  bool ended_ = false;  // whether the command itself has ended
  int status_ = 0;
};

}  // namespace finetune

#endif  // FINETUNE_TESTS_JOB_H_
