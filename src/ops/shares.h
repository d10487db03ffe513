#ifndef FINETUNE_OPS_SHARES_H_
#define FINETUNE_OPS_SHARES_H_

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

namespace finetune {

// Work stealing for items [0, count). Each worker starts with an equal, contiguous range and takes
// items from its beginning. A worker whose range is empty takes items from the end of another's. So
// one slow thread does not delay the others.
class Shares {
 public:
  struct Range {
    int64_t begin, end;
  };

  // `count` must be less than 2^32.
  Shares(int64_t count, int64_t workers) : left_(workers) {
    for (int64_t i = 0; i < workers; ++i) {
      left_[i].store(Pack(count * i / workers, count * (i + 1) / workers));
    }
  }

  // Returns the next items for `worker`, at most `most`. Returns nothing when all items are taken.
  std::optional<Range> Take(int64_t worker, int64_t most) {
    const auto workers = static_cast<int64_t>(left_.size());
    for (int64_t i = 0; i < workers; ++i) {
      std::atomic<uint64_t>& left = left_[(worker + i) % workers];
      uint64_t seen = left.load();
      while (true) {
        const Range range = Unpack(seen);
        const int64_t count = std::min(most, range.end - range.begin);
        if (count <= 0) break;
        const int64_t cut = i == 0 ? range.begin + count : range.end - count;
        if (!left.compare_exchange_weak(seen,
                                        i == 0 ? Pack(cut, range.end) : Pack(range.begin, cut))) {
          continue;
        }
        return i == 0 ? Range{range.begin, cut} : Range{cut, range.end};
      }
    }
    return std::nullopt;
  }

 private:
  static uint64_t Pack(int64_t begin, int64_t end) {
    return static_cast<uint64_t>(begin) << 32 | static_cast<uint64_t>(end);
  }
  static Range Unpack(uint64_t range) {
    return {static_cast<int64_t>(range >> 32), static_cast<int64_t>(range & 0xFFFFFFFF)};
  }

  std::vector<std::atomic<uint64_t>> left_;
};

// Calls work(take) on several of LibTorch's threads, so many that each has at least `grain` items.
// take(most) is Shares::Take() for the calling thread.
template <typename Work>
void ForShares(int64_t count, int64_t grain, const Work& work) {
  const int64_t workers = std::clamp<int64_t>(count / grain, 1, at::get_num_threads());
  Shares shares(count, workers);
  at::parallel_for(0, workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker) {
      work([&shares, worker](int64_t most) { return shares.Take(worker, most); });
    }
  });
}

}  // namespace finetune

#endif  // FINETUNE_OPS_SHARES_H_
