#ifndef FINETUNE_OPS_TESTING_H_
#define FINETUNE_OPS_TESTING_H_

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros_like.h>

#include <barrier>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"

namespace finetune {

// Returns a float32 tensor of elements offset + scale * u. Each u in [-1, 1) is pseudorandom and
// depends only on `name` and the element's index. tests/fixtures/model/make_fixtures.py computes
// the same numbers, bit for bit.
at::Tensor ByFormula(const std::string& name, at::IntArrayRef shape, double scale = 1,
                     double offset = 0);

// Returns ||actual - expected|| / ||expected||, computed in float64.
double RelativeError(const at::Tensor& actual, const at::Tensor& expected);

// The ranks of a test as threads. Run() calls work(rank, sum_over_ranks) on each thread;
// `sum_over_ranks` is a SumOverRanks that sums over all threads.
class Ranks {
 public:
  explicit Ranks(int count) : barrier_(count), parts_(count) {}

  template <typename Work>
  void Run(const Work& work) {
    std::vector<std::thread> threads;
    for (size_t rank = 0; rank < parts_.size(); ++rank) {
      threads.emplace_back([this, rank, &work] {
        work(static_cast<int>(rank), [this, rank](const at::Tensor& values) {
          parts_[rank] = values.clone();
          barrier_.arrive_and_wait();
          at::Tensor sum = at::zeros_like(values);
          for (const at::Tensor& part : parts_) sum += part;
          barrier_.arrive_and_wait();
          values.copy_(sum);
          return absl::OkStatus();
        });
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

 private:
  std::barrier<> barrier_;
  std::vector<at::Tensor> parts_;
};

}  // namespace finetune

#endif  // FINETUNE_OPS_TESTING_H_
