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

// A shell command in the background, with its output in a file. What the command starts belongs to
// it, and is this process's to wait for and to kill, so there is one Job at a time.
class Job {
 public:
  // Much longer than any job takes that does not hang.
  static constexpr absl::Duration kLimit = absl::Seconds(120);

  Job(const std::string& command, std::string output);
  // Kills what is left of it.
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // Of the command itself: mpirun's.
  pid_t pid() const { return pid_; }

  // Until the output holds `text`. False where the command ended without it, or hangs: then it is
  // killed and the test fails.
  bool WaitFor(const std::string& text);

  // The process of rank `rank`, which runs on this host; -1 where there is none.
  pid_t PidOfRank(int rank) const;

  // Until the command and all that it has started have ended. What goes on for longer than kLimit
  // is killed, and the test fails.
  Outcome Wait();

 private:
  // Reaps what has ended. True when nothing is left.
  bool Over();
  // Over the limit: kills all, and the test fails.
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
