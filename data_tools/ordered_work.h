#ifndef FINETUNE_DATA_TOOLS_ORDERED_WORK_H_
#define FINETUNE_DATA_TOOLS_ORDERED_WORK_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace finetune {

// Computes the results 0, 1, ..., count - 1 on several threads and returns them in this order, so
// that a program's output does not depend on the number of threads. At most four results for each
// thread are in memory.
template <typename Result>
class OrderedWork {
 public:
  // A function that computes result `index`.
  using Work = std::function<Result(int64_t index)>;

  // Starts the threads. `make_work` is called once for each thread, on the caller's thread. So each
  // thread has a Work of its own, which may keep memory from one result to the next.
  OrderedWork(int64_t count, int threads, const std::function<Work()>& make_work)
      : count_(count), slots_(static_cast<size_t>(threads) * 4) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this, work = make_work()] { Run(work); });
    }
  }
  OrderedWork(const OrderedWork&) = delete;
  OrderedWork& operator=(const OrderedWork&) = delete;
  // Waits for the results that are just being computed. The remaining ones are not computed.
  ~OrderedWork() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // Waits for the next result and returns it. Call it at most `count` times.
  Result Next() {
    std::unique_lock lock(mutex_);
    Slot& slot = slots_[next_ % slots_.size()];
    ready_.wait(lock, [&] { return slot.ready; });
    Result result = std::move(slot.result);
    slot.result = Result();
    slot.ready = false;
    ++next_;
    lock.unlock();
    work_.notify_one();
    return result;
  }

 private:
  struct Slot {
    Result result;
    bool ready = false;
  };

  void Run(const Work& work) {
    std::unique_lock lock(mutex_);
    while (true) {
      work_.wait(lock, [&] {
        return stop_ || taken_ == count_ || taken_ < next_ + static_cast<int64_t>(slots_.size());
      });
      if (stop_ || taken_ == count_) return;
      const int64_t index = taken_++;
      lock.unlock();
      Result result = work(index);
      lock.lock();
      Slot& slot = slots_[index % slots_.size()];
      slot.result = std::move(result);
      slot.ready = true;
      if (index == next_) ready_.notify_one();
      if (taken_ == count_) work_.notify_all();
    }
  }

  const int64_t count_;
  std::mutex mutex_;
  std::condition_variable work_, ready_;
  std::vector<Slot> slots_;
  // next_: the index of the next result to return. taken_: the index of the next result that a
  // thread will compute.
  int64_t next_ = 0, taken_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_ORDERED_WORK_H_
