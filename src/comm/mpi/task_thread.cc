#include "src/comm/mpi/task_thread.h"

#include <pthread.h>

#include <utility>

namespace finetune {

TaskThread::TaskThread(absl::Duration interval, std::function<void()> idle)
    : interval_(interval), idle_(std::move(idle)), thread_([this] { Run(); }) {}

TaskThread::~TaskThread() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void TaskThread::Add(std::function<void()> task) {
  absl::MutexLock lock(&mutex_);
  tasks_.push_back(std::move(task));
}

void TaskThread::Nudge() {
  absl::MutexLock lock(&mutex_);
  nudged_ = true;
}

void TaskThread::Run() {
  pthread_setname_np(pthread_self(), "communication");
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !tasks_.empty() || nudged_ || stopping_;
  };
  while (true) {
    std::function<void()> task;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithTimeout(absl::Condition(&ready), interval_);
      nudged_ = false;
      if (!tasks_.empty()) {
        task = std::move(tasks_.front());
        tasks_.pop_front();
      } else if (stopping_) {
        return;
      }
    }
    if (task) {
      task();
    } else {
      idle_();
    }
  }
}

}  // namespace finetune
