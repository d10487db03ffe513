#include "src/ops/depthwise.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/hardswish.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "src/ops/testing.h"

namespace finetune {
namespace {

constexpr at::MemoryFormat kLayout = at::MemoryFormat::ChannelsLast;

struct Shape {
  int64_t images, channels, height, width, kernel, stride;
  Padding padding;
};

// Tests every kernel that this processor can run, not only its best.
struct Kernels {
  Vectors vectors;
  at::ScalarType type;
  double error;  // the largest allowed RelativeError()
};
std::vector<Kernels> KernelsOfThisProcessor() {
  std::vector<Kernels> found;
  for (const Kernels& one :
       {Kernels{Vectors::kAvx2, at::kFloat, 2e-6}, Kernels{Vectors::kAvx512, at::kFloat, 2e-6},
        Kernels{Vectors::kAvx512Bfloat16, at::kBFloat16, 0.005}}) {
    if (one.vectors <= BestVectors()) found.push_back(one);
  }
  return found;
}

// The convolution's result and its gradients for dy, by LibTorch in float64.
struct Exact {
  at::Tensor y, dx, dw;
};
Exact Definition(const Shape& s, const at::Tensor& x, const at::Tensor& weight,
                 const at::Tensor& bias, const at::Tensor& dy) {
  const at::Tensor in = x.to(at::kDouble).requires_grad_();
  const at::Tensor by = weight.to(at::kDouble).requires_grad_();
  constexpr int64_t kNoPadding = 0;
  const auto& [top, left, bottom, right] = s.padding;
  const at::Tensor y =
      at::conv2d(at::constant_pad_nd(in, {left, right, top, bottom}), by, bias.to(at::kDouble),
                 s.stride, kNoPadding, /*dilation=*/1, /*groups=*/s.channels);
  y.backward(dy.to(at::kDouble));
  return {y.detach(), in.grad(), by.grad()};
}

int64_t Results(int64_t size, int64_t zeros, const Shape& s) {
  return (size + zeros - s.kernel) / s.stride + 1;
}

class DepthwiseTest : public testing::TestWithParam<Shape> {};

TEST_P(DepthwiseTest, MatchesDirectConvolutionForwardAndBackward) {
  const Shape& s = GetParam();
  const auto& [top, left, bottom, right] = s.padding;
  const at::Tensor weight =
      ByFormula("weight", {s.channels, 1, s.kernel, s.kernel}, 0.4).contiguous(kLayout);
  const at::Tensor bias = ByFormula("bias", {s.channels}, 0.5);
  for (const Kernels& kernels : KernelsOfThisProcessor()) {
    if (!DepthwiseRuns(kernels.type, weight, s.channels, kernels.vectors)) continue;
    const at::Tensor x = ByFormula("x", {s.images, s.channels, s.height, s.width})
                             .to(kernels.type)
                             .contiguous(kLayout);
    const at::Tensor dy = ByFormula("dy", {s.images, s.channels, Results(s.height, top + bottom, s),
                                           Results(s.width, left + right, s)})
                              .to(kernels.type)
                              .contiguous(kLayout);
    const Exact exact = Definition(s, x, weight, bias, dy);
    const DepthwiseWeight packed = PackDepthwise(weight);
    const at::Tensor y =
        DepthwiseConv(x, packed, bias, Activation::kNone, s.stride, s.padding, kernels.vectors);
    ASSERT_EQ(y.sizes(), exact.y.sizes());
    EXPECT_EQ(y.scalar_type(), kernels.type);
    EXPECT_TRUE(y.is_contiguous(kLayout));
    EXPECT_LT(RelativeError(y, exact.y), kernels.error);
    EXPECT_LT(
        RelativeError(DepthwiseInputGradient(dy, packed, x, s.stride, s.padding, kernels.vectors),
                      exact.dx),
        kernels.error);
    const at::Tensor dw =
        DepthwiseWeightGradient(dy, x, s.kernel, s.stride, s.padding, kernels.vectors);
    EXPECT_LT(RelativeError(dw, exact.dw), 2e-6);
    EXPECT_EQ(dw.strides(), weight.strides());
  }
}

TEST_P(DepthwiseTest, TrainsInBothTypesWithinTheirRounding) {
  const Shape& s = GetParam();
  const auto& [top, left, bottom, right] = s.padding;
  const at::Tensor weight =
      ByFormula("weight", {s.channels, 1, s.kernel, s.kernel}, 0.4).contiguous(kLayout);
  const at::Tensor x =
      ByFormula("x", {s.images, s.channels, s.height, s.width}).contiguous(kLayout);
  const at::Tensor dy = ByFormula("dy", {s.images, s.channels, Results(s.height, top + bottom, s),
                                         Results(s.width, left + right, s)})
                            .contiguous(kLayout);
  const at::Tensor bias = ByFormula("bias", {s.channels});
  const Exact exact = Definition(s, x, weight, bias, dy);
  const at::Tensor exact_db = dy.to(at::kDouble).sum({0, 2, 3});
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    if (!DepthwiseRuns(type, weight, s.channels) &&
        !DepthwiseRuns(at::kFloat, weight, s.channels)) {
      continue;
    }
    const double error = type == at::kFloat ? 2e-6 : 0.005;
    const at::Tensor in = x.clone(kLayout).to(type).requires_grad_();
    const at::Tensor by = weight.clone(kLayout).requires_grad_();
    const at::Tensor plus = bias.clone().requires_grad_();
    const at::Tensor y = TrainedDepthwiseConv(in, by, plus, s.stride, s.padding);
    ASSERT_EQ(y.scalar_type(), type);
    y.backward(dy.to(type));
    EXPECT_LT(RelativeError(y.detach(), exact.y), error);
    EXPECT_LT(RelativeError(in.grad(), exact.dx), error);
    EXPECT_LT(RelativeError(by.grad(), exact.dw), error);
    EXPECT_LT(RelativeError(plus.grad(), exact_db), error);
    EXPECT_EQ(in.grad().scalar_type(), type);
    EXPECT_EQ(by.grad().scalar_type(), at::kFloat);
  }
}

std::string Name(const testing::TestParamInfo<Shape>& info) {
  const Shape& s = info.param;
  std::string name;
  for (const int64_t number : {s.images, s.channels, s.height, s.width, s.kernel, s.stride,
                               s.padding.top, s.padding.left, s.padding.bottom, s.padding.right}) {
    name += (name.empty() ? "" : "_") + std::to_string(number);
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, DepthwiseTest,
    testing::Values(Shape{2, 32, 56, 56, 3, 1, {1, 1, 1, 1}},  // most windows lie inside
                    Shape{3, 96, 28, 30, 3, 2, {0, 0, 1, 1}},  // TensorFlow's padding, even
                    Shape{2, 96, 15, 13, 3, 2, {1, 1, 1, 1}},  // odd sizes
                    Shape{2, 240, 14, 14, 5, 2, {1, 1, 2, 2}},
                    Shape{2, 240, 7, 9, 5, 2, {2, 2, 2, 2}},
                    Shape{5, 1152, 4, 4, 5, 1, {2, 2, 2, 2}},  // every window has padding
                    Shape{3, 48, 1, 2, 5, 1, {2, 2, 2, 2}},    // the window is larger than the map
                    Shape{2, 8, 9, 11, 3, 1, {1, 1, 1, 1}},    // 8 channels: one AVX2 vector
                    Shape{2, 72, 10, 10, 5, 2, {2, 2, 2, 2}},  // an odd number of vectors
                    Shape{2, 32, 12, 12, 7, 1, {3, 3, 3, 3}},
                    Shape{2, 32, 17, 18, 3, 3, {0, 1, 2, 0}},  // no window has some pixels
                    Shape{2, 32, 9, 9, 3, 4, {0, 0, 0, 0}},
                    Shape{70, 16, 8, 6, 3, 1, {1, 1, 1, 1}}),  // several blocks of lines
    Name);

TEST(DepthwiseConvTest, EndsWithItsActivationAndPassesNan) {
  for (const Kernels& kernels : KernelsOfThisProcessor()) {
    at::Tensor x = ByFormula("x", {1, 32, 9, 9}, 8).to(kernels.type).contiguous(kLayout);
    const at::Tensor weight = at::zeros({32, 1, 3, 3});
    weight.select(2, 1).select(2, 1).fill_(1);  // only the middle of the kernel is not 0
    const at::Tensor bias = at::zeros({32});
    x[0][3][4][4].fill_(std::numeric_limits<float>::quiet_NaN());
    const auto run = [&](Activation activation) {
      return DepthwiseConv(x, PackDepthwise(weight), bias, activation, 1, {1, 1, 1, 1},
                           kernels.vectors)
          .to(at::kFloat);
    };
    // The NaN is also multiplied by the zeros of the 3x3 windows around it, which gives 9 NaNs.
    const at::Tensor y = run(Activation::kNone);
    EXPECT_EQ(y.isnan().sum().item<int64_t>(), 9);
    EXPECT_TRUE(run(Activation::kRelu).allclose(y.relu(), 0, 0, /*equal_nan=*/true));
    EXPECT_TRUE(run(Activation::kRelu6).allclose(y.clamp(0, 6), 0, 0, /*equal_nan=*/true));
    const double error = kernels.type == at::kBFloat16 ? 0.005 : 1e-6;
    for (const auto& [activation, exact] :
         {std::pair(Activation::kSilu, at::silu(y.to(at::kDouble))),
          std::pair(Activation::kHardSwish, at::hardswish(y.to(at::kDouble)))}) {
      const at::Tensor ours = run(activation).to(at::kDouble);
      EXPECT_TRUE(ours.allclose(exact, error, error, /*equal_nan=*/true));
    }
    EXPECT_GT((y > 6).sum().item<int64_t>(), 0);
  }
}

TEST(DepthwiseConvTest, GivesTheSameBitsOnAnyNumberOfThreads) {
  const at::Tensor x = ByFormula("x", {4, 96, 28, 28}).contiguous(kLayout);
  const DepthwiseWeight weight = PackDepthwise(ByFormula("weight", {96, 1, 5, 5}));
  if (!DepthwiseRuns(at::kFloat, ByFormula("weight", {96, 1, 5, 5}), 96)) return;
  const auto run = [&] { return DepthwiseConv(x, weight, {}, Activation::kNone, 1, {2, 2, 2, 2}); };
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = run();
  at::set_num_threads(3);
  EXPECT_TRUE(run().equal(one));
  at::set_num_threads(threads);
}

TEST(DepthwiseConvTest, AcceptsEmptyBatch) {
  const at::Tensor weight = ByFormula("weight", {32, 1, 3, 3});
  if (!DepthwiseRuns(at::kFloat, weight, 32)) return;
  const at::Tensor x = at::zeros({0, 32, 8, 8}).requires_grad_();
  const at::Tensor trained = weight.clone().requires_grad_();
  const at::Tensor y = TrainedDepthwiseConv(x, trained, /*bias=*/{}, 2, {0, 0, 1, 1});
  EXPECT_EQ(y.sizes(), at::IntArrayRef({0, 32, 4, 4}));
  y.sum().backward();
  EXPECT_TRUE(trained.grad().equal(at::zeros_like(weight)));
}

TEST(DepthwiseRunsTest, LeavesOtherConvolutionsToLibTorch) {
  const auto runs = [](at::IntArrayRef weight, int64_t groups) {
    return DepthwiseRuns(at::kFloat, at::zeros(weight), groups);
  };
  EXPECT_FALSE(runs({32, 4, 3, 3}, 8)) << "several channels a group";
  EXPECT_FALSE(runs({64, 1, 3, 3}, 32)) << "several kernels a channel";
  EXPECT_FALSE(runs({12, 1, 3, 3}, 12)) << "not whole vectors";
  EXPECT_FALSE(runs({32, 1, 4, 4}, 32)) << "an even kernel";
  EXPECT_FALSE(runs({32, 1, 3, 5}, 32)) << "not a square";
  EXPECT_FALSE(DepthwiseRuns(at::kDouble, at::zeros({32, 1, 3, 3}), 32));
}

}  // namespace
}  // namespace finetune
