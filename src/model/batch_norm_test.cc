#include "src/model/batch_norm.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <barrier>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/model/loss.h"
#include "src/model/testing.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;

// Threads in place of ranks; each computes its part with the sum over all.
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

struct Result {
  at::Tensor y, dx, dgamma, dbeta, running_mean, running_var;
};

constexpr int64_t kChannels = 5;

at::Tensor Gamma() { return ByFormula("gamma", {kChannels}, 0.5, 1).set_requires_grad(true); }
at::Tensor Beta() { return ByFormula("beta", {kChannels}).set_requires_grad(true); }

Result Backward(const at::Tensor& y, const at::Tensor& x, const at::Tensor& gamma,
                const at::Tensor& beta, const at::Tensor& dy, const at::Tensor& running_mean,
                const at::Tensor& running_var) {
  y.backward(dy);
  return {y.detach(), x.grad(), gamma.grad(), beta.grad(), running_mean, running_var};
}

// Batch norm of a batch split over ranks by `sizes`, and of the batch as a whole.
void ExpectAsOneBatch(const std::vector<int64_t>& sizes, at::ScalarType type, double bound) {
  const int64_t n = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  // Far from centred, so that statistics by sums of squares would show their weakness.
  const at::Tensor x = ByFormula("x", {n, kChannels, 3, 4}, 1, 4)
                           .to(type)
                           .contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor dy = ByFormula("dy", x.sizes()).to(type).contiguous(x.suggest_memory_format());

  const at::Tensor whole_x = x.clone().set_requires_grad(true);
  const at::Tensor gamma = Gamma(), beta = Beta();
  const at::Tensor mean = at::zeros({kChannels}), var = at::ones({kChannels});
  const Result whole = Backward(at::batch_norm(whole_x, gamma, beta, mean, var, true,
                                               kBatchNormMomentum, kBatchNormEpsilon, true),
                                whole_x, gamma, beta, dy, mean, var);

  std::vector<Result> parts(sizes.size());
  Ranks(static_cast<int>(sizes.size())).Run([&](int rank, const SumOverRanks& sum) {
    const int64_t begin = std::accumulate(sizes.begin(), sizes.begin() + rank, int64_t{0});
    const at::Tensor part = x.narrow(0, begin, sizes[rank]).clone().set_requires_grad(true);
    const at::Tensor gamma = Gamma(), beta = Beta();
    const at::Tensor mean = at::zeros({kChannels}), var = at::ones({kChannels});
    const at::Tensor y = SyncBatchNorm(part, gamma, beta, mean, var, sum);
    parts[rank] = Backward(y, part, gamma, beta, dy.narrow(0, begin, sizes[rank]), mean, var);
  });

  std::vector<at::Tensor> y, dx;
  at::Tensor dgamma = at::zeros({kChannels}), dbeta = at::zeros({kChannels});
  for (const Result& part : parts) {
    EXPECT_EQ(part.y.scalar_type(), type);
    EXPECT_EQ(part.dx.scalar_type(), type);
    y.push_back(part.y);
    dx.push_back(part.dx);
    dgamma += part.dgamma;
    dbeta += part.dbeta;
    EXPECT_LT(RelativeError(part.running_mean, whole.running_mean), 1e-5);
    EXPECT_LT(RelativeError(part.running_var, whole.running_var), 1e-5);
    EXPECT_TRUE(at::equal(part.running_mean, parts[0].running_mean)) << "ranks differ";
    EXPECT_TRUE(at::equal(part.running_var, parts[0].running_var)) << "ranks differ";
  }
  EXPECT_LT(RelativeError(at::cat(y), whole.y), bound);
  EXPECT_LT(RelativeError(at::cat(dx), whole.dx), bound);
  EXPECT_LT(RelativeError(dgamma, whole.dgamma), bound);
  EXPECT_LT(RelativeError(dbeta, whole.dbeta), bound);
}

TEST(SyncBatchNorm, IsBatchNormOfAllRanksPictures) {
  // Mean 4 and deviation 0.6 cost sums of squares a factor of 50 of float32's 6e-8.
  ExpectAsOneBatch({3, 3}, at::kFloat, 2e-5);
  ExpectAsOneBatch({4}, at::kFloat, 2e-5);
}

TEST(SyncBatchNorm, WeighsEveryPictureTheSameWhereRanksHaveMoreOrFewerOrNone) {
  ExpectAsOneBatch({1, 4, 2}, at::kFloat, 2e-5);
  ExpectAsOneBatch({0, 3}, at::kFloat, 2e-5);
}

TEST(SyncBatchNorm, KeepsStatisticsInFloat32ForBfloat16) {
  // One rounding to bfloat16 is 2^-9 of a value at most.
  ExpectAsOneBatch({2, 3}, at::kBFloat16, 0.01);
}

TEST(SyncBatchNorm, OfOneValueIsAnError) {
  const at::Tensor x = at::ones({1, kChannels, 1, 1});
  const auto alone = [](const at::Tensor&) { return absl::OkStatus(); };
  try {
    SyncBatchNorm(x, Gamma(), Beta(), at::zeros({kChannels}), at::ones({kChannels}), alone);
    FAIL() << "no error";
  } catch (const c10::Error& error) {
    EXPECT_THAT(error.what_without_backtrace(), HasSubstr("one value a channel over all ranks"));
  }
}

TEST(SyncBatchNorm, PassesOnWhyASumFailed) {
  const at::Tensor x = at::ones({2, kChannels, 2, 2});
  const auto broken = [](const at::Tensor&) { return absl::UnavailableError("rank 3 is gone"); };
  try {
    SyncBatchNorm(x, Gamma(), Beta(), at::zeros({kChannels}), at::ones({kChannels}), broken);
    FAIL() << "no error";
  } catch (const c10::Error& error) {
    EXPECT_THAT(error.what_without_backtrace(), HasSubstr("rank 3 is gone"));
  }
}

TEST(SyncBatchNorm, MakesTwoRanksTrainAsOneDoesWithTheWholeBatch) {
  constexpr char kModel[] =
      "backbone { resnet { depth: 18 base_channels: 4 stem: CIFAR } } head { num_classes: 3 }";
  const at::Tensor images = ByFormula("images", {6, 3, 16, 16});
  const at::Tensor labels = ByFormula("labels", {6}, 1.5, 1.5).to(at::kLong);
  const auto whole = MakeModel(kModel);
  CrossEntropySum(whole->Forward(images, true), labels, 0).backward();

  const std::vector<int64_t> starts = {0, 2, 6};
  std::vector<std::unique_ptr<Classifier>> models(2);
  Ranks(2).Run([&](int rank, const SumOverRanks& sum) {
    ClassifierOptions options;
    options.mode.sum_over_ranks = sum;
    models[rank] = MakeModel(kModel, options);
    const int64_t begin = starts[rank], count = starts[rank + 1] - begin;
    CrossEntropySum(models[rank]->Forward(images.narrow(0, begin, count), true),
                    labels.narrow(0, begin, count), 0)
        .backward();
  });
  for (const NamedTensor& parameter : whole->parameters()) {
    const at::Tensor sum =
        Named(*models[0], parameter.name).grad() + Named(*models[1], parameter.name).grad();
    EXPECT_LT(RelativeError(sum, parameter.tensor.grad()), 1e-4) << parameter.name;
  }
  for (const NamedTensor& buffer : whole->buffers()) {
    EXPECT_LT(RelativeError(Named(*models[1], buffer.name), buffer.tensor), 1e-5) << buffer.name;
  }
}

}  // namespace
}  // namespace finetune
