#include "src/ops/squeeze_excite.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/hardsigmoid.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <limits>
#include <string>
#include <tuple>

#include "gtest/gtest.h"
#include "src/ops/testing.h"

namespace finetune {
namespace {

constexpr at::MemoryFormat kLayout = at::MemoryFormat::ChannelsLast;

SqueezeExciteWeights Weights(int64_t channels, int64_t squeezed, at::ScalarType type) {
  const auto leaf = [&](const char* name, at::IntArrayRef shape, double scale, double offset = 0) {
    return ByFormula(name, shape, scale, offset).to(type).set_requires_grad(true);
  };
  // With few channels the bias keeps the ReLU from being 0 in all of them.
  return {leaf("reduce", {squeezed, channels, 1, 1}, 1), leaf("reduce_bias", {squeezed}, 0.5, 2),
          leaf("expand", {channels, squeezed, 1, 1}, 2), leaf("expand_bias", {channels}, 2)};
}

// Returns squeeze-and-excitation of x, computed by LibTorch's separate operators.
at::Tensor Definition(const at::Tensor& x, const SqueezeExciteWeights& w, Activation activation,
                      Gate gate) {
  const at::Tensor reduced = at::conv2d(x.mean({2, 3}, /*keepdim=*/true), w.reduce, w.reduce_bias);
  const at::Tensor hidden = activation == Activation::kSilu ? at::silu(reduced) : at::relu(reduced);
  const at::Tensor excited = at::conv2d(hidden, w.expand, w.expand_bias);
  return x * (gate == Gate::kSigmoid ? at::sigmoid(excited) : at::hardsigmoid(excited));
}

class SqueezeExciteTest
    : public testing::TestWithParam<std::tuple<Activation, Gate, at::ScalarType>> {};

TEST_P(SqueezeExciteTest, MatchesLibTorchInFloat64ForwardAndBackward) {
  const auto [activation, gate, type] = GetParam();
  struct Shape {
    int64_t images, channels, squeezed, height, width;
  };
  // The numbers of channels and of pixels are below one block, whole blocks, and blocks and a rest.
  for (const Shape& s : {Shape{2, 16, 8, 5, 3}, Shape{3, 72, 24, 9, 8}, Shape{4, 240, 10, 14, 14},
                         Shape{1, 64, 4, 1, 1}, Shape{2, 5, 3, 31, 20}}) {
    SCOPED_TRACE(testing::Message() << s.images << "x" << s.channels << "x" << s.height);
    const at::Tensor x = ByFormula("x", {s.images, s.channels, s.height, s.width}, 2, 0.5).to(type);
    const at::Tensor dy = ByFormula("dy", x.sizes()).to(type).contiguous(kLayout);
    const at::Tensor exact_x = x.to(at::kDouble).requires_grad_();
    const SqueezeExciteWeights exact_weights = Weights(s.channels, s.squeezed, at::kDouble);
    const at::Tensor exact = Definition(exact_x, exact_weights, activation, gate);
    exact.backward(dy.to(at::kDouble));

    const at::Tensor ours_x = x.clone(kLayout).requires_grad_();
    const SqueezeExciteWeights weights = Weights(s.channels, s.squeezed, at::kFloat);
    const at::Tensor ours = SqueezeExcite(ours_x, weights, activation, gate);
    ours.backward(dy);

    // Rounding to bfloat16 changes a value by at most 2^-9 of it, and by about half of that on
    // average.
    const double bound = type == at::kBFloat16 ? 0.004 : 2e-6;
    EXPECT_EQ(ours.scalar_type(), type);
    EXPECT_TRUE(ours.is_contiguous(kLayout));
    EXPECT_LT(RelativeError(ours, exact), bound);
    EXPECT_EQ(ours_x.grad().scalar_type(), type);
    EXPECT_LT(RelativeError(ours_x.grad(), exact_x.grad()), bound);
    for (const auto& [name, mine, theirs] :
         {std::tuple("reduce", weights.reduce, exact_weights.reduce),
          {"reduce_bias", weights.reduce_bias, exact_weights.reduce_bias},
          {"expand", weights.expand, exact_weights.expand},
          {"expand_bias", weights.expand_bias, exact_weights.expand_bias}}) {
      // The weights' gradients are float32 also if x is bfloat16.
      EXPECT_EQ(mine.grad().scalar_type(), at::kFloat) << name;
      EXPECT_LT(RelativeError(mine.grad(), theirs.grad()), 1e-5) << name;
    }
  }
}

std::string Name(const testing::TestParamInfo<std::tuple<Activation, Gate, at::ScalarType>>& info) {
  const auto& [activation, gate, type] = info.param;
  return std::string(activation == Activation::kSilu ? "Silu" : "Relu") +
         (gate == Gate::kSigmoid ? "Sigmoid" : "HardSigmoid") +
         (type == at::kFloat ? "Float32" : "Bfloat16");
}

INSTANTIATE_TEST_SUITE_P(, SqueezeExciteTest,
                         testing::Combine(testing::Values(Activation::kRelu, Activation::kSilu),
                                          testing::Values(Gate::kSigmoid, Gate::kHardSigmoid),
                                          testing::Values(at::kFloat, at::kBFloat16)),
                         Name);

TEST(SqueezeExciteThreadsTest, GivesTheSameBitsOnAnyNumberOfThreads) {
  const at::Tensor x = ByFormula("x", {3, 200, 17, 19}).contiguous(kLayout);
  const SqueezeExciteWeights weights = Weights(200, 8, at::kFloat);
  const auto run = [&] {
    return SqueezeExcite(x, weights, Activation::kSilu, Gate::kSigmoid).detach();
  };
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = run();
  at::set_num_threads(3);
  EXPECT_TRUE(run().equal(one));
  at::set_num_threads(threads);
}

TEST(SqueezeExciteEdgeTest, AcceptsEmptyBatch) {
  const at::Tensor x = at::zeros({0, 16, 4, 4}).requires_grad_();
  const SqueezeExciteWeights weights = Weights(16, 8, at::kFloat);
  const at::Tensor y = SqueezeExcite(x, weights, Activation::kRelu, Gate::kHardSigmoid);
  EXPECT_EQ(y.sizes(), x.sizes());
  y.sum().backward();
  EXPECT_TRUE(weights.reduce.grad().equal(at::zeros_like(weights.reduce)));
}

TEST(SqueezeExciteEdgeTest, HandsNanOnInItsImageAlone) {
  at::Tensor x = ByFormula("x", {2, 16, 4, 4}).contiguous(kLayout);
  x[1][3][2][2].fill_(std::numeric_limits<float>::quiet_NaN());
  const at::Tensor y =
      SqueezeExcite(x, Weights(16, 8, at::kFloat), Activation::kSilu, Gate::kSigmoid);
  EXPECT_TRUE(y[0].isfinite().all().item<bool>());
  EXPECT_TRUE(y[1].isnan().all().item<bool>());
}

}  // namespace
}  // namespace finetune
