#ifndef FINETUNE_COMM_MPI_TASK_THREAD_H_
#define FINETUNE_COMM_MPI_TASK_THREAD_H_

#include <deque>
#include <functional>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace finetune {

// A thread that runs tasks in the order in which they are added. While there are no tasks, it calls
// `idle` once every `interval`.
class TaskThread {
 public:
  TaskThread(absl::Duration interval, std::function<void()> idle);
  // Waits until all added tasks have run, then stops the thread.
  ~TaskThread();

  void Add(std::function<void()> task);
  // Makes the thread call `idle` at once if it has no task. May be called on any thread.
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
