#include "src/ops/batch_norm.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/hardswish.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/logspace.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/ops/testing.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;

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

using BatchNormOverRanks = at::Tensor (*)(const at::Tensor& x, const at::Tensor& gamma,
                                          const at::Tensor& beta, const at::Tensor& running_mean,
                                          const at::Tensor& running_var,
                                          const SumOverRanks& sum_over_ranks);

at::Tensor ByOperatorsOverRanks(const at::Tensor& x, const at::Tensor& gamma,
                                const at::Tensor& beta, const at::Tensor& running_mean,
                                const at::Tensor& running_var, const SumOverRanks& sum_over_ranks) {
  return SyncBatchNorm(x, gamma, beta, running_mean, running_var, sum_over_ranks);
}

at::Tensor FusedOverRanks(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta,
                          const at::Tensor& running_mean, const at::Tensor& running_var,
                          const SumOverRanks& sum_over_ranks) {
  return BatchNormAct(x, gamma, beta, running_mean, running_var, {}, Activation::kNone,
                      /*training=*/true, sum_over_ranks);
}

// Expects that batch norm of a batch that is split over ranks gives the results of the whole batch
// on one rank. `sizes`: each rank's number of images.
void ExpectAsOneBatch(BatchNormOverRanks over_ranks, const std::vector<int64_t>& sizes,
                      at::ScalarType type, double bound) {
  const int64_t n = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  // The mean is far from 0, so that a variance computed as E[x^2] - E[x]^2 would show its error.
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
    const at::Tensor y = over_ranks(part, gamma, beta, mean, var, sum);
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

class SyncBatchNormTest : public testing::TestWithParam<BatchNormOverRanks> {};
INSTANTIATE_TEST_SUITE_P(, SyncBatchNormTest,
                         testing::Values(&ByOperatorsOverRanks, &FusedOverRanks),
                         [](const auto& param) {
                           return param.param == &ByOperatorsOverRanks ? "ByOperators" : "Fused";
                         });

TEST_P(SyncBatchNormTest, IsBatchNormOfAllRanksImages) {
  // With mean 4 and standard deviation 0.6, E[x^2] - E[x]^2 has an error about 50 times float32's
  // 6e-8.
  ExpectAsOneBatch(GetParam(), {3, 3}, at::kFloat, 2e-5);
  ExpectAsOneBatch(GetParam(), {4}, at::kFloat, 2e-5);
}

TEST_P(SyncBatchNormTest, WeighsEveryImageTheSameWhereRanksHaveMoreOrFewerOrNone) {
  ExpectAsOneBatch(GetParam(), {1, 4, 2}, at::kFloat, 2e-5);
  ExpectAsOneBatch(GetParam(), {0, 3}, at::kFloat, 2e-5);
}

TEST_P(SyncBatchNormTest, KeepsStatisticsInFloat32ForBfloat16) {
  // One rounding to bfloat16 changes a value by at most 2^-9 of it.
  ExpectAsOneBatch(GetParam(), {2, 3}, at::kBFloat16, 0.01);
}

// Compares three ranks with LibTorch's batch norm of the whole batch in float64. The values' mean
// is `ratio` standard deviations from 0, and the images of different ranks differ by one deviation.
void ExpectExactFarFromZero(BatchNormOverRanks over_ranks, double ratio, at::ScalarType type) {
  SCOPED_TRACE(testing::Message() << "mean / deviation " << ratio << " " << type);
  const std::vector<int64_t> starts = {0, 5, 6, 16};
  at::Tensor values = ByFormula("x", {starts.back(), kChannels, 7, 7}, std::sqrt(3.0), ratio);
  values.narrow(0, 0, 5).add_(1);
  const at::Tensor x = values.to(type).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor dy =
      ByFormula("dy", x.sizes(), 1, 0.25).to(type).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor exact_x = x.to(at::kDouble).requires_grad_();
  const at::Tensor gamma = Gamma().detach().to(at::kDouble).requires_grad_();
  const at::Tensor beta = Beta().detach().to(at::kDouble).requires_grad_();
  const at::Tensor mean = at::zeros({kChannels}, at::kDouble), var = at::ones_like(mean);
  const Result exact = Backward(at::batch_norm(exact_x, gamma, beta, mean, var, true,
                                               kBatchNormMomentum, kBatchNormEpsilon, false),
                                exact_x, gamma, beta, dy.to(at::kDouble), mean, var);

  std::vector<Result> parts(starts.size() - 1);
  Ranks(static_cast<int>(parts.size())).Run([&](int rank, const SumOverRanks& sum) {
    const int64_t begin = starts[rank], count = starts[rank + 1] - begin;
    const at::Tensor part = x.narrow(0, begin, count).clone().requires_grad_();
    const at::Tensor gamma = Gamma(), beta = Beta();
    const at::Tensor mean = at::zeros({kChannels}), var = at::ones({kChannels});
    const at::Tensor y = over_ranks(part, gamma, beta, mean, var, sum);
    parts[rank] = Backward(y, part, gamma, beta, dy.narrow(0, begin, count), mean, var);
  });
  std::vector<at::Tensor> y, dx;
  at::Tensor dgamma = at::zeros({kChannels}), dbeta = at::zeros({kChannels});
  for (const Result& part : parts) {
    y.push_back(part.y);
    dx.push_back(part.dx);
    dgamma += part.dgamma;
    dbeta += part.dbeta;
  }
  // The variance is as exact as for values around 0, except for 2^-36 of the mean's square.
  const double variance = 1e-6 + std::ldexp(ratio * ratio, -35);
  EXPECT_LT(RelativeError(parts[0].running_var, exact.running_var), variance);
  EXPECT_LT(RelativeError(parts[0].running_mean, exact.running_mean), 1e-6);
  // The mean is rounded to float32, and so is the number that x is shifted by. Each rounding is up
  // to 2^-25 * ratio. A bfloat16 result is rounded by 2^-9 of it.
  const double bound = (type == at::kBFloat16 ? 0.004 : 2e-6) + variance + std::ldexp(ratio, -22);
  EXPECT_LT(RelativeError(at::cat(y), exact.y), bound);
  EXPECT_LT(RelativeError(at::cat(dx), exact.dx), bound);
  // The error of the mean times the sum of dy, which is 12 times the norm of gamma's gradient.
  EXPECT_LT(RelativeError(dgamma, exact.dgamma), 16 * bound);
  EXPECT_LT(RelativeError(dbeta, exact.dbeta), bound);
}

TEST_P(SyncBatchNormTest, MatchesFloat64FarFromZero) {
  for (const double ratio : {0.0, 10.0, 100.0, 1000.0, 10000.0}) {
    ExpectExactFarFromZero(GetParam(), ratio, at::kFloat);
  }
  for (const double ratio : {10.0, 100.0}) {
    ExpectExactFarFromZero(GetParam(), ratio, at::kBFloat16);
  }
}

TEST_P(SyncBatchNormTest, OfOneValueIsAnError) {
  const at::Tensor x = at::ones({1, kChannels, 1, 1});
  const auto alone = [](const at::Tensor&) { return absl::OkStatus(); };
  try {
    GetParam()(x, Gamma(), Beta(), at::zeros({kChannels}), at::ones({kChannels}), alone);
    FAIL() << "no error";
  } catch (const c10::Error& error) {
    EXPECT_THAT(error.what_without_backtrace(), HasSubstr("one value a channel over all ranks"));
  }
}

TEST_P(SyncBatchNormTest, PassesOnWhyASumFailed) {
  const at::Tensor x = at::ones({2, kChannels, 2, 2});
  const auto broken = [](const at::Tensor&) { return absl::UnavailableError("rank 3 is gone"); };
  try {
    GetParam()(x, Gamma(), Beta(), at::zeros({kChannels}), at::ones({kChannels}), broken);
    FAIL() << "no error";
  } catch (const c10::Error& error) {
    EXPECT_THAT(error.what_without_backtrace(), HasSubstr("rank 3 is gone"));
  }
}

struct FusedCase {
  int64_t n, channels, height, width;
  bool residual, training;
  Activation activation;
  at::ScalarType type;
};

class FusedBatchNormTest : public testing::TestWithParam<std::tuple<bool, bool, Activation>> {
 protected:
  // Compares the result and the gradients of BatchNormAct() with those of LibTorch's operators in
  // float64.
  static void Expect(const FusedCase& of, double bound) {
    SCOPED_TRACE(testing::Message() << of.n << "x" << of.channels << "x" << of.height << "x"
                                    << of.width << " " << of.type);
    const auto make = [&](const char* name, double offset) {
      return ByFormula(name, {of.n, of.channels, of.height, of.width}, 1, offset)
          .to(of.type)
          .contiguous(at::MemoryFormat::ChannelsLast);
    };
    // The mean of x is not 0, so that a variance computed as E[x^2] - E[x]^2 would show its error.
    const at::Tensor x = make("x", 4), residual = make("residual", 0), dy = make("dy", 0.25);
    const at::Tensor gamma = ByFormula("gamma", {of.channels}, 0.5, 1);
    const at::Tensor beta =
        ByFormula("beta", {of.channels}, of.activation == Activation::kHardSwish ? 4 : 1,
                  of.activation == Activation::kRelu6 ? 4 : 0);
    const at::Tensor start_mean = ByFormula("mean", {of.channels}, 0.5, 4);
    const at::Tensor start_var = ByFormula("var", {of.channels}, 0.5, 1);

    const auto leaf = [](const at::Tensor& t, at::ScalarType type) {
      return t.to(type).clone().set_requires_grad(true);
    };
    const at::Tensor x1 = leaf(x, at::kDouble), r1 = leaf(residual, at::kDouble);
    const at::Tensor gamma1 = leaf(gamma, at::kDouble), beta1 = leaf(beta, at::kDouble);
    const at::Tensor mean1 = start_mean.to(at::kDouble), var1 = start_var.to(at::kDouble);
    // Both settings differ from the defaults.
    const BatchNormSettings settings = {.epsilon = 0.02, .momentum = 0.25};
    at::Tensor y1 = at::batch_norm(x1, gamma1, beta1, mean1, var1, of.training, settings.momentum,
                                   settings.epsilon, /*cudnn_enabled=*/false);
    if (of.residual) y1 = y1 + r1;
    if (of.activation == Activation::kRelu) y1 = y1.relu();
    if (of.activation == Activation::kRelu6) y1 = y1.clamp(0, 6);
    if (of.activation == Activation::kSilu) y1 = at::silu(y1);
    if (of.activation == Activation::kHardSwish) y1 = at::hardswish(y1);

    const at::Tensor x2 = leaf(x, of.type), r2 = leaf(residual, of.type);
    const at::Tensor gamma2 = leaf(gamma, at::kFloat), beta2 = leaf(beta, at::kFloat);
    const at::Tensor mean2 = start_mean.clone(), var2 = start_var.clone();
    const at::Tensor y2 =
        BatchNormAct(x2, gamma2, beta2, mean2, var2, of.residual ? r2 : at::Tensor(), of.activation,
                     of.training, /*sum_over_ranks=*/nullptr, settings);
    EXPECT_EQ(y2.scalar_type(), of.type);
    EXPECT_TRUE(y2.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_LT(RelativeError(y2, y1), bound);
    EXPECT_LT(RelativeError(mean2, mean1), 1e-6);
    EXPECT_LT(RelativeError(var2, var1), 1e-6);

    // Where rounding puts y1 and y2 on different sides of an activation's bound, their gradients
    // differ completely. dy is 0 there.
    at::Tensor dy_same = dy;
    if (of.activation == Activation::kRelu || of.activation == Activation::kRelu6) {
      dy_same = dy_same * ((y1 > 0) == (y2 > 0));
    }
    if (of.activation == Activation::kRelu6) dy_same = dy_same * ((y1 < 6) == (y2 < 6));
    y1.backward(dy_same.to(at::kDouble));
    y2.backward(dy_same);
    EXPECT_LT(RelativeError(x2.grad(), x1.grad()), bound);
    EXPECT_LT(RelativeError(gamma2.grad(), gamma1.grad()), bound);
    EXPECT_LT(RelativeError(beta2.grad(), beta1.grad()), bound);
    if (of.residual) {
      EXPECT_LT(RelativeError(r2.grad(), r1.grad()), bound);
    }
  }
};

std::string FusedName(const testing::TestParamInfo<std::tuple<bool, bool, Activation>>& info) {
  constexpr const char* kNames[] = {"", "Relu", "Relu6", "Silu", "HardSwish"};
  const auto& [add, training, activation] = info.param;
  return std::string(add ? "Add" : "") + kNames[static_cast<int>(activation)] +
         (training ? "Training" : "Running");
}

INSTANTIATE_TEST_SUITE_P(, FusedBatchNormTest,
                         testing::Combine(testing::Bool(), testing::Bool(),
                                          testing::Values(Activation::kNone, Activation::kRelu,
                                                          Activation::kRelu6)),
                         FusedName);
// SiLU and hard-swish take no residual.
INSTANTIATE_TEST_SUITE_P(Smooth, FusedBatchNormTest,
                         testing::Combine(testing::Values(false), testing::Bool(),
                                          testing::Values(Activation::kSilu,
                                                          Activation::kHardSwish)),
                         FusedName);

TEST_P(FusedBatchNormTest, IsBatchNormThenAddThenActivation) {
  const auto [residual, training, activation] = GetParam();
  // The numbers of rows and channels lie below and above those that the loops take at a time, and
  // the largest shapes are shared by several threads.
  for (const auto& [n, channels, height, width] : {std::tuple{2, 1, 2, 2},
                                                   {1, 5, 3, 3},
                                                   {3, 16, 3, 5},
                                                   {2, 64, 7, 7},
                                                   {4, 130, 14, 14},
                                                   {7, 96, 28, 28}}) {
    // In float32 a mean of 4 has an error of up to 2.4e-7. gamma's gradient has that error times
    // the sum of dy, and most of its own terms cancel.
    Expect({n, channels, height, width, residual, training, activation, at::kFloat}, 1e-5);
    // Rounding to bfloat16 changes a value by at most 2^-9 of it, on average about half of that.
    // The subtraction of the means makes dx smaller than the numbers that were rounded.
    Expect({n, channels, height, width, residual, training, activation, at::kBFloat16}, 0.01);
  }
}

// One rank, without sum_over_ranks.
TEST(BatchNormActTest, MatchesFloat64FarFromZero) {
  for (const auto& [ratio, type] :
       {std::pair(100.0, at::kFloat), std::pair(1000.0, at::kFloat), std::pair(10000.0, at::kFloat),
        std::pair(100.0, at::kBFloat16)}) {
    SCOPED_TRACE(testing::Message() << "mean / deviation " << ratio << " " << type);
    const at::Tensor x = ByFormula("x", {16, kChannels, 7, 7}, std::sqrt(3.0), ratio)
                             .to(type)
                             .contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor dy =
        ByFormula("dy", x.sizes(), 1, 0.25).to(type).contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor x1 = x.to(at::kDouble).requires_grad_(), x2 = x.clone().requires_grad_();
    const at::Tensor gamma1 = Gamma().detach().to(at::kDouble).requires_grad_(), gamma2 = Gamma();
    const at::Tensor beta1 = Beta().detach().to(at::kDouble).requires_grad_(), beta2 = Beta();
    const at::Tensor mean1 = at::zeros({kChannels}, at::kDouble), mean2 = at::zeros({kChannels});
    const at::Tensor var1 = at::ones({kChannels}, at::kDouble), var2 = at::ones({kChannels});
    const Result exact = Backward(at::batch_norm(x1, gamma1, beta1, mean1, var1, true,
                                                 kBatchNormMomentum, kBatchNormEpsilon, false),
                                  x1, gamma1, beta1, dy.to(at::kDouble), mean1, var1);
    const Result fused =
        Backward(BatchNormAct(x2, gamma2, beta2, mean2, var2, {}, Activation::kNone,
                              /*training=*/true, nullptr),
                 x2, gamma2, beta2, dy, mean2, var2);
    const double bound = (type == at::kBFloat16 ? 0.004 : 2e-6) + std::ldexp(ratio, -22);
    EXPECT_LT(RelativeError(fused.running_var, exact.running_var), 1e-6);
    EXPECT_LT(RelativeError(fused.running_mean, exact.running_mean), 1e-6);
    EXPECT_LT(RelativeError(fused.y, exact.y), bound);
    EXPECT_LT(RelativeError(fused.dx, exact.dx), bound);
    // The error of the mean times the sum of dy, which is 12 times the norm of gamma's gradient.
    EXPECT_LT(RelativeError(fused.dgamma, exact.dgamma), 16 * bound);
    EXPECT_LT(RelativeError(fused.dbeta, exact.dbeta), bound);
  }
}

// The values lie where e^x overflows, where it underflows, and in between.
TEST(BatchNormActTest, HasSiluOfEveryMagnitude) {
  const at::Tensor values = at::cat({at::linspace(-120, 120, 4801), at::full({1}, 1e4),
                                     at::full({1}, -1e4), at::logspace(-20, 2, 200)});
  const at::Tensor x =
      values.view({1, 1, 1, -1}).contiguous(at::MemoryFormat::ChannelsLast).requires_grad_();
  const at::Tensor y =
      BatchNormAct(x, at::ones({1}), at::zeros({1}), at::zeros({1}), at::ones({1}), {},
                   Activation::kSilu, /*training=*/false, nullptr, {.epsilon = 0});
  y.sum().backward();
  const at::Tensor exact_x = values.to(at::kDouble).requires_grad_();
  const at::Tensor exact = at::silu(exact_x);
  exact.sum().backward();
  EXPECT_TRUE(y.view(-1).to(at::kDouble).allclose(exact, /*rtol=*/5e-7, /*atol=*/1e-34));
  // The slope of SiLU is 0 near -1.28, so small slopes need an absolute bound.
  EXPECT_TRUE(x.grad().view(-1).to(at::kDouble).allclose(exact_x.grad(), 1e-6, 1e-6));
}

TEST(BatchNormActTest, HandsNanOn) {
  at::Tensor x = at::ones({2, 3, 2, 2}).contiguous(at::MemoryFormat::ChannelsLast);
  x[1][2][0][1] = NAN;
  for (const auto& [type, activation] :
       {std::pair(at::kFloat, Activation::kRelu), std::pair(at::kBFloat16, Activation::kRelu),
        std::pair(at::kFloat, Activation::kRelu6), std::pair(at::kFloat, Activation::kSilu),
        std::pair(at::kBFloat16, Activation::kHardSwish)}) {
    const at::Tensor y = BatchNormAct(x.to(type), at::ones({3}), at::zeros({3}), at::zeros({3}),
                                      at::ones({3}), {}, activation, /*training=*/false, nullptr);
    EXPECT_EQ(y.isnan().sum().item<int64_t>(), 1);
    EXPECT_TRUE(y[1][2][0][1].isnan().item<bool>());
  }
}

}  // namespace
}  // namespace finetune
