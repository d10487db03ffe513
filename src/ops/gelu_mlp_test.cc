#include "src/ops/gelu_mlp.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>

#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "src/ops/testing.h"

namespace finetune {
namespace {

// Returns the layers' tensors, in float32: expand, its bias, project, its bias.
std::vector<at::Tensor> Weights(int64_t in, int64_t hidden, int64_t out) {
  return {ByFormula("expand", {hidden, in}, 0.2), ByFormula("expand.bias", {hidden}, 0.5),
          ByFormula("project", {out, hidden}, 0.2), ByFormula("project.bias", {out}, 0.5)};
}

at::Tensor Definition(const at::Tensor& x, const std::vector<at::Tensor>& w) {
  return at::linear(at::gelu(at::linear(x, w[0], w[1])), w[2], w[3]);
}

at::Tensor Compute(const at::Tensor& x, const std::vector<at::Tensor>& w) {
  return GeluMlp(x, {w[0], w[1], w[2], w[3]});
}

std::vector<at::Tensor> Trained(const std::vector<at::Tensor>& weights, at::ScalarType type) {
  std::vector<at::Tensor> trained;
  for (const at::Tensor& weight : weights) {
    trained.push_back(weight.to(type, /*non_blocking=*/false, /*copy=*/true).requires_grad_());
  }
  return trained;
}

// The shapes have one row, rows for part of a chunk, and rows for several chunks.
TEST(GeluMlp, MatchesTheDefinitionForwardAndBackwardInBothTypes) {
  for (const auto& [shape, hidden, out] :
       {std::tuple(std::vector<int64_t>{1, 24}, 96, 24),
        std::tuple(std::vector<int64_t>{3, 7, 5, 24}, 96, 20),
        std::tuple(std::vector<int64_t>{2, 37, 37, 8}, 2048, 8)}) {
    const auto weights = Weights(shape.back(), hidden, out);
    std::vector<int64_t> result = shape;
    result.back() = out;
    const at::Tensor x = ByFormula("x", shape, 2), dy = ByFormula("dy", result);
    const at::Tensor exact_x = x.to(at::kDouble).requires_grad_();
    const auto exact = Trained(weights, at::kDouble);
    const at::Tensor exact_y = Definition(exact_x, exact);
    exact_y.backward(dy.to(at::kDouble));
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const double bound = type == at::kFloat ? 3e-6 : 0.02;
      const at::Tensor own_x = x.to(type, false, true).requires_grad_();
      const auto own = Trained(weights, at::kFloat);
      const at::Tensor y = Compute(own_x, own);
      ASSERT_EQ(y.sizes(), at::IntArrayRef(result));
      EXPECT_EQ(y.scalar_type(), type);
      y.backward(dy.to(type));
      EXPECT_LT(RelativeError(y.detach(), exact_y.detach()), bound);
      EXPECT_LT(RelativeError(own_x.grad(), exact_x.grad()), bound);
      EXPECT_EQ(own_x.grad().scalar_type(), type);
      for (size_t i = 0; i < own.size(); ++i) {
        EXPECT_LT(RelativeError(own[i].grad(), exact[i].grad()), bound) << i;
        EXPECT_EQ(own[i].grad().scalar_type(), at::kFloat);
      }
    }
  }
}

TEST(GeluMlp, ComputesTheSameWithoutAGraph) {
  const at::Tensor x = ByFormula("x", {50, 16});
  const auto weights = Weights(16, 64, 16);
  const at::Tensor recorded = Compute(x, Trained(weights, at::kFloat)).detach();
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(Compute(x, weights).equal(recorded));
}

TEST(GeluMlp, HasNoGradientsWhereNothingIsTrained) {
  const at::Tensor x = ByFormula("x", {50, 16});
  EXPECT_FALSE(Compute(x, Weights(16, 64, 16)).requires_grad());
  // The first trained layer of a network needs no gradient of its input; a frozen one passes it on.
  const auto trained = Trained(Weights(16, 64, 16), at::kFloat);
  Compute(x, trained).sum().backward();
  EXPECT_TRUE(trained[0].grad().defined());
  const at::Tensor leaf = x.clone().requires_grad_();
  Compute(leaf, Weights(16, 64, 16)).sum().backward();
  EXPECT_TRUE(leaf.grad().defined());
}

TEST(GeluMlp, TakesNoRows) {
  const at::Tensor x = ByFormula("x", {0, 5, 16}).requires_grad_();
  const auto trained = Trained(Weights(16, 64, 8), at::kFloat);
  const at::Tensor y = Compute(x, trained);
  EXPECT_EQ(y.sizes(), at::IntArrayRef({0, 5, 8}));
  y.sum().backward();
  for (const at::Tensor& weight : trained) EXPECT_EQ(weight.grad().abs().sum().item<double>(), 0);
}

}  // namespace
}  // namespace finetune
