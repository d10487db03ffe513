#include "src/ops/conv.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "src/ops/pointwise.h"
#include "src/ops/testing.h"
#include "src/ops/vectors.h"
#include "src/ops/weight_gradient.h"
#include "src/ops/winograd.h"

namespace finetune {
namespace {

constexpr at::MemoryFormat kLayout = at::MemoryFormat::ChannelsLast;

struct Shape {
  int64_t images, in, out, height, width, kernel, stride;
};

std::string Name(const testing::TestParamInfo<Shape>& info) {
  const Shape& s = info.param;
  return std::to_string(s.images) + "x" + std::to_string(s.in) + "to" + std::to_string(s.out) +
         "of" + std::to_string(s.height) + "x" + std::to_string(s.width) + "by" +
         std::to_string(s.kernel) + "stride" + std::to_string(s.stride);
}

class Conv : public testing::TestWithParam<Shape> {
 protected:
  void SetUp() override {
    const Shape& s = GetParam();
    padding_ = s.kernel / 2;
    x_ = ByFormula("x", {s.images, s.in, s.height, s.width}).contiguous(kLayout);
    // Gives results a variance near 1 for any number of channels.
    const double scale = 1 / std::sqrt(static_cast<double>(s.in * s.kernel * s.kernel));
    weight_ = ByFormula("weight", {s.out, s.in, s.kernel, s.kernel}, scale).contiguous(kLayout);
    // The expected result and gradients, by LibTorch in float64.
    exact_x_ = x_.to(at::kDouble).requires_grad_();
    exact_weight_ = weight_.to(at::kDouble).requires_grad_();
    exact_y_ = at::conv2d(exact_x_, exact_weight_, {}, s.stride, padding_);
    dy_ = ByFormula("dy", exact_y_.sizes()).contiguous(kLayout);
    exact_y_.backward(dy_.to(at::kDouble));
  }

  int64_t padding_ = 0;
  at::Tensor x_, weight_, dy_, exact_x_, exact_weight_, exact_y_;
};

TEST_P(Conv, AndItsGradientsAreThoseOfTheDefinition) {
  const at::Tensor x = x_.clone(kLayout).requires_grad_();
  const at::Tensor weight = weight_.clone(kLayout).requires_grad_();
  const at::Tensor y = TrainedConv(x, weight, GetParam().stride, padding_);
  ASSERT_EQ(y.sizes(), exact_y_.sizes());
  y.backward(dy_);
  EXPECT_LT(RelativeError(y, exact_y_.detach()), 3e-6);
  EXPECT_LT(RelativeError(x.grad(), exact_x_.grad()), 3e-6);
  EXPECT_LT(RelativeError(weight.grad(), exact_weight_.grad()), 3e-6);
  EXPECT_EQ(weight.grad().strides(), weight.strides());
}

TEST_P(Conv, InBfloat16IsWithinItsRounding) {
  const at::Tensor x = x_.to(at::kBFloat16).requires_grad_();
  const at::Tensor weight = weight_.clone(kLayout).requires_grad_();
  const at::Tensor y = TrainedConv(x, weight, GetParam().stride, padding_);
  y.backward(dy_.to(at::kBFloat16));
  ASSERT_EQ(y.scalar_type(), at::kBFloat16);
  ASSERT_EQ(x.grad().scalar_type(), at::kBFloat16);
  ASSERT_EQ(weight.grad().scalar_type(), at::kFloat);
  // The bound is for roundings to bfloat16's 8 bits (2^-9 each), of the inputs and of the result.
  EXPECT_LT(RelativeError(y, exact_y_.detach()), 0.005);
  EXPECT_LT(RelativeError(x.grad(), exact_x_.grad()), 0.005);
  EXPECT_LT(RelativeError(weight.grad(), exact_weight_.grad()), 0.005);
  EXPECT_GT(RelativeError(y, exact_y_.detach()), 1e-4) << "it was not in bfloat16";
}

TEST_P(Conv, WithoutAGradientOfTheInputHasTheSameOfTheWeight) {
  const at::Tensor both = weight_.clone(kLayout).requires_grad_();
  TrainedConv(x_.clone(kLayout).requires_grad_(), both, GetParam().stride, padding_).backward(dy_);
  const at::Tensor alone = weight_.clone(kLayout).requires_grad_();
  TrainedConv(x_, alone, GetParam().stride, padding_).backward(dy_);
  EXPECT_LT(RelativeError(alone.grad(), both.grad()), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Conv,
                         testing::Values(Shape{2, 64, 64, 56, 56, 3, 1},   // whole tiles
                                         Shape{3, 64, 128, 14, 14, 3, 1},  // tiles over the edge
                                         Shape{17, 128, 64, 7, 7, 3, 1},   // 4 tiles an image
                                         Shape{20, 512, 256, 7, 7, 3, 1},  // several parts of both
                                         Shape{20, 520, 256, 7, 7, 3, 1},  // not whole panels
                                         Shape{1, 64, 64, 9, 30, 3, 1},    // not square
                                         Shape{40, 64, 64, 28, 28, 3, 1},  // several chunks
                                         Shape{2, 64, 64, 28, 28, 3, 2},   // stride 2
                                         Shape{3, 24, 20, 13, 13, 3, 1},  // odd numbers of channels
                                         Shape{2, 64, 256, 14, 14, 1, 1},  // a matrix product
                                         Shape{2, 64, 128, 28, 28, 1, 2},
                                         Shape{3, 64, 192, 7, 7, 1, 1},   // odd numbers of pixels
                                         Shape{3, 64, 64, 15, 13, 3, 2},  // the same, stride 2
                                         Shape{50, 256, 128, 14, 14, 1, 1},  // several chunks
                                         Shape{2, 32, 64, 15, 20, 3, 2},     // padding on all sides
                                         Shape{1, 3, 64, 32, 32, 7, 2}),
                         Name);

// Tests every kernel that this processor can run, not only its best.
struct Kernels {
  const char* name;
  Vectors vectors;
  at::ScalarType type;
  double error;  // the largest allowed RelativeError()
};

std::vector<Kernels> KernelsOfThisProcessor() {
  std::vector<Kernels> found;
  for (const Kernels& one : {Kernels{"Avx2", Vectors::kAvx2, at::kFloat, 2e-6},
                             Kernels{"Avx512", Vectors::kAvx512, at::kFloat, 2e-6},
                             Kernels{"Bfloat16", Vectors::kAvx512Bfloat16, at::kBFloat16, 0.005}}) {
    if (one.vectors <= BestVectors()) found.push_back(one);
  }
  return found;
}

class EveryKernel : public testing::TestWithParam<Kernels> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EveryKernel);

TEST_P(EveryKernel, ConvolvesAndHasTheGradientsOfTheDefinition) {
  const Kernels& kernels = GetParam();
  // Each image has 3x5 tiles of 4x4 pixels or 5x9 of 2x2. The number of tiles is odd, and 4x4 tiles
  // reach over both edges.
  const at::Tensor x = ByFormula("x", {3, 64, 10, 18}).to(kernels.type).contiguous(kLayout);
  const at::Tensor dy = ByFormula("dy", {3, 128, 10, 18}).to(kernels.type).contiguous(kLayout);
  const at::Tensor w = ByFormula("w", {128, 64, 3, 3}, 0.04).contiguous(kLayout);
  const at::Tensor exact_x = x.to(at::kDouble).requires_grad_();
  const at::Tensor exact_w = w.to(at::kDouble).requires_grad_();
  const at::Tensor exact = at::conv2d(exact_x, exact_w, {}, 1, 1);
  exact.backward(dy.to(at::kDouble));

  ASSERT_TRUE(WinogradRuns(x, w, 1, 1, kernels.vectors));
  const WinogradWeight u = TransformWeight(w, kernels.type, kernels.vectors);
  const at::Tensor y = WinogradConv(x, u, {}, {}, /*relu=*/false, kernels.vectors);
  EXPECT_LT(RelativeError(y, exact.detach()), kernels.error);
  EXPECT_LT(RelativeError(WinogradInputGradient(dy, w, kernels.vectors), exact_x.grad()),
            kernels.error);
  EXPECT_LT(RelativeError(WinogradWeightGradient(dy, x, kernels.vectors), exact_w.grad()),
            kernels.error);
}

TEST_P(EveryKernel, SumsAWeightsGradient) {
  const Kernels& kernels = GetParam();
  for (const auto& [kernel, stride] : {std::pair(1, 1), std::pair(1, 2), std::pair(3, 2)}) {
    const int64_t padding = kernel / 2;
    const at::Tensor x = ByFormula("x", {3, 64, 9, 15}).to(kernels.type).contiguous(kLayout);
    const at::Tensor w = at::zeros({128, 64, kernel, kernel}, at::kDouble).requires_grad_();
    const at::Tensor exact = at::conv2d(x.to(at::kDouble), w, {}, stride, padding);
    const at::Tensor dy = ByFormula("dy", exact.sizes()).to(kernels.type).contiguous(kLayout);
    exact.backward(dy.to(at::kDouble));
    ASSERT_TRUE(ProductWeightGradientRuns(x, w, kernels.vectors));
    const at::Tensor dw = ProductWeightGradient(dy, x, kernel, stride, padding, kernels.vectors);
    // Products of bfloat16 factors are exact, and sums are float32.
    EXPECT_LT(RelativeError(dw, w.grad()), 1e-6) << kernel << "x" << kernel << "/" << stride;
  }
}

TEST_P(EveryKernel, MultipliesPixels) {
  const Kernels& kernels = GetParam();
  for (const int64_t stride : {1, 2}) {
    // Stride 1 uses 3 x 15 x 17 pixels, stride 2 uses 3 x 8 x 9: neither fills whole tiles of 6
    // rows.
    const at::Tensor x = ByFormula("x", {3, 128, 15, 17}).to(kernels.type).contiguous(kLayout);
    const at::Tensor w = ByFormula("w", {192, 128, 1, 1}, 0.1).contiguous(kLayout);
    const at::Tensor bias = ByFormula("bias", {192});
    const at::Tensor exact_x = x.to(at::kDouble).requires_grad_();
    const at::Tensor product = at::conv2d(exact_x, w.to(at::kDouble), {}, stride);
    const at::Tensor residual =
        ByFormula("residual", product.sizes()).to(kernels.type).contiguous(kLayout);
    const at::Tensor exact = (product + bias.view({1, -1, 1, 1}) + residual).clamp_min(0).detach();
    const PointwiseWeight packed = PackPointwise(w, kernels.type, kernels.vectors);
    EXPECT_LT(RelativeError(PointwiseConv(x, packed, {}, {}, stride, false, kernels.vectors),
                            product.detach()),
              kernels.error);
    EXPECT_LT(RelativeError(PointwiseConv(x, packed, bias, residual, stride, true, kernels.vectors),
                            exact),
              kernels.error);
    const at::Tensor dy = ByFormula("dy", product.sizes()).to(kernels.type).contiguous(kLayout);
    product.backward(dy.to(at::kDouble));
    EXPECT_LT(
        RelativeError(PointwiseInputGradient(dy, w, x, stride, kernels.vectors), exact_x.grad()),
        kernels.error);
  }
}

// Large results are written by non-temporal stores, small ones are not.
TEST_P(EveryKernel, MultipliesManyPixelsAsItDoesFew) {
  const Kernels& kernels = GetParam();
  const at::Tensor x = ByFormula("x", {26, 64, 56, 57}).to(kernels.type).contiguous(kLayout);
  const at::Tensor w = ByFormula("w", {256, 64, 1, 1}, 0.1).contiguous(kLayout);
  const at::Tensor bias = ByFormula("bias", {256});
  const PointwiseWeight packed = PackPointwise(w, kernels.type, kernels.vectors);
  const at::Tensor all = PointwiseConv(x, packed, bias, {}, 1, /*relu=*/true, kernels.vectors);
  ASSERT_GT(all.nbytes(), size_t{40} << 20);
  for (int64_t i = 0; i < x.size(0); i += 5) {
    const at::Tensor one = x.narrow(0, i, 1);
    EXPECT_TRUE(PointwiseConv(one, packed, bias, {}, 1, /*relu=*/true, kernels.vectors)
                    .equal(all.narrow(0, i, 1)))
        << i;
  }
}

// Where a factor of a result is NaN the result must be NaN, with ReLU as well. An infinity may
// become NaN in Winograd's tiles, but must not become a finite number.
TEST_P(EveryKernel, PassesNanAndInfinityOn) {
  const Kernels& kernels = GetParam();
  for (const int64_t kernel : {1, 3}) {
    at::Tensor x = ByFormula("x", {8, 64, 12, 12}).to(kernels.type).contiguous(kLayout);
    at::Tensor residual =
        ByFormula("residual", {8, 64, 12, 12}).to(kernels.type).contiguous(kLayout);
    x[1][0][1][2].fill_(std::numeric_limits<float>::quiet_NaN());
    x[3][5][7][7].fill_(std::numeric_limits<float>::infinity());
    x[5][5][7][7].fill_(-std::numeric_limits<float>::infinity());
    residual[6][2][3][4].fill_(std::numeric_limits<float>::quiet_NaN());
    const at::Tensor w = ByFormula("w", {64, 64, kernel, kernel}).contiguous(kLayout);
    const at::Tensor bias = ByFormula("bias", {64});
    const at::Tensor y =
        kernel == 1 ? PointwiseConv(x, PackPointwise(w, kernels.type, kernels.vectors), bias,
                                    residual, /*stride=*/1, /*relu=*/true, kernels.vectors)
                    : WinogradConv(x, TransformWeight(w, kernels.type, kernels.vectors), bias,
                                   residual, /*relu=*/true, kernels.vectors);
    const at::Tensor exact =
        (at::conv2d(x.to(at::kDouble), w.to(at::kDouble), bias.to(at::kDouble), 1, kernel / 2) +
         residual)
            .relu();
    EXPECT_TRUE(y.isnan().logical_or(exact.isnan().logical_not()).all().item<bool>());
    EXPECT_TRUE(y.isfinite().logical_not().logical_or(exact.isfinite()).all().item<bool>());
    // Images without NaN and infinity in their inputs have finite results.
    for (const int64_t image : {0, 2, 4, 7}) {
      EXPECT_TRUE(y[image].isfinite().all().item<bool>()) << image;
    }
    if (kernel == 1) {
      EXPECT_TRUE(y.isfinite().equal(exact.isfinite()));
    }
    EXPECT_EQ(exact[6].isnan().sum().item<int64_t>(), 1);
    EXPECT_TRUE(y[6].isnan().equal(exact[6].isnan()));
  }
}

INSTANTIATE_TEST_SUITE_P(Products, EveryKernel, testing::ValuesIn(KernelsOfThisProcessor()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Winograd, OfNoImagesIsNone) {
  const at::Tensor none = at::zeros({0, 64, 14, 14}).contiguous(kLayout);
  const at::Tensor w = ByFormula("w", {128, 64, 3, 3}).contiguous(kLayout);
  const at::Tensor y = WinogradConv(none, TransformWeight(w, at::kFloat), {}, {}, /*relu=*/true);
  EXPECT_EQ(y.sizes(), at::IntArrayRef({0, 128, 14, 14}));
}

// Compares pixel by pixel, because the norm of a whole map could hide an error at an edge.
TEST(Winograd, EveryPixelOfEveryTileIsRight) {
  for (const int64_t height : {5, 7, 8, 11}) {
    for (const int64_t width : {6, 9, 12}) {
      const at::Tensor x = ByFormula("x", {2, 64, height, width}).contiguous(kLayout);
      const at::Tensor w = ByFormula("w", {64, 64, 3, 3}, 0.05).contiguous(kLayout);
      const at::Tensor y = WinogradConv(x, TransformWeight(w, at::kFloat), {}, {}, /*relu=*/false);
      const at::Tensor exact = at::conv2d(x.to(at::kDouble), w.to(at::kDouble), {}, 1, 1);
      EXPECT_LT((y.to(at::kDouble) - exact).abs().max().item<double>(), 1e-5)
          << height << "x" << width;
    }
  }
}

TEST(Winograd, AddsBiasAndResidualAndActivates) {
  const at::Tensor x = ByFormula("x", {2, 64, 14, 14}).contiguous(kLayout);
  const at::Tensor w = ByFormula("w", {64, 64, 3, 3}, 0.05).contiguous(kLayout);
  const at::Tensor bias = ByFormula("bias", {64});
  const at::Tensor residual = ByFormula("residual", {2, 64, 14, 14}).contiguous(kLayout);
  const at::Tensor before = residual.clone();
  const at::Tensor exact =
      at::conv2d(x.to(at::kDouble), w.to(at::kDouble), bias.to(at::kDouble), 1, 1) +
      residual.to(at::kDouble);
  const WinogradWeight u = TransformWeight(w, at::kFloat);
  EXPECT_LT(RelativeError(WinogradConv(x, u, bias, residual, /*relu=*/false), exact), 3e-6);
  EXPECT_LT(RelativeError(WinogradConv(x, u, bias, residual, /*relu=*/true), exact.clamp_min(0)),
            3e-6);
  EXPECT_TRUE(residual.equal(before));
}

}  // namespace
}  // namespace finetune
