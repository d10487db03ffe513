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

// offset + scale * u, u in [-1, 1) from the name and each element's index: the numbers of
// tests/fixtures/model/make_fixtures.py, bit for bit.
at::Tensor ByFormula(const std::string& name, at::IntArrayRef shape, double scale = 1,
                     double offset = 0);

// ||actual - expected|| / ||expected||, computed in float64.
double RelativeError(const at::Tensor& actual, const at::Tensor& expected);

// Runs each rank of a test as a thread. Each gets its rank and a SumOverRanks over all threads.
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
