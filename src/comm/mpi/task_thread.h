#ifndef FINETUNE_COMM_MPI_TASK_THREAD_H_
#define FINETUNE_COMM_MPI_TASK_THREAD_H_

#include <deque>
#include <functional>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace finetune {

// A thread that runs tasks in the order in which they are added. While there is none, it calls
// `idle` at least every `interval`.
class TaskThread {
 public:
  TaskThread(absl::Duration interval, std::function<void()> idle);
  // Runs the tasks that were added, then stops.
  ~TaskThread();

  void Add(std::function<void()> task);
  // Has `idle` called now, unless a task runs.
  void Nudge();
  bool IsCurrent() const { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  void Run();

  const absl::Duration interval_;
  const std::function<void()> idle_;
  absl::Mutex mutex_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool nudged_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_TASK_THREAD_H_
