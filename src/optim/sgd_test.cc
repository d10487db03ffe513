#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "src/optim/optimizer.h"
#include "src/testing/from_text.h"
#include "tests/test_device.h"

namespace finetune {
namespace {

at::Tensor Floats(const std::vector<float>& values) { return at::tensor(values).to(TestDevice()); }
at::Tensor Full(int64_t count, float value) { return at::full({count}, value, TestDevice()); }

std::unique_ptr<Optimizer> Make(const std::string& text, std::vector<ParameterSpan> spans,
                                const at::Tensor& values) {
  auto optimizer = CreateOptimizer(FromText<OptimizerConfig>(text), std::move(spans), values);
  EXPECT_TRUE(optimizer.ok()) << optimizer.status();
  return *std::move(optimizer);
}

void ExpectNear(const at::Tensor& actual, const std::vector<float>& expected) {
  const at::Tensor host = actual.to(at::kCPU);
  ASSERT_EQ(host.numel(), static_cast<int64_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(host.const_data_ptr<float>()[i], expected[i], 2e-6) << "element " << i;
  }
}

// Takes three steps with growing gradients and compares the results with those of torch.optim.SGD,
// from tests/fixtures/optim/make_fixtures.py.
void ExpectThreeSteps(const std::string& config, const std::vector<float>& values,
                      const std::vector<float>& momentum) {
  at::Tensor w = Floats({1.0f, -2.0f, 0.5f, 3.0f});
  const at::Tensor g = Floats({0.5f, -0.25f, 1.0f, 0.0f});
  const auto sgd = Make(config, {{"a", 0, 2}, {"b", 2, 2}}, w);
  for (int step = 0; step < 3; ++step) sgd->Step(g.mul(step + 1), 0.1, 1, step);
  ExpectNear(w, values);
  const TensorList state = sgd->State();
  ASSERT_EQ(state.size(), 1u);
  EXPECT_EQ(state[0].name, "momentum");
  ExpectNear(state[0].tensor, momentum);
}

TEST(SgdTest, MomentumMatchesPyTorch) {
  ExpectThreeSteps(
      "sgd { momentum: 0.9 weight_decay: 0.01 }",
      {0.5191847681999207, -1.7511847019195557, -0.45322269201278687, 2.983184337615967},
      {2.829662322998047, -1.4554243087768555, 5.61873197555542, 0.08118602633476257});
}

TEST(SgdTest, NesterovMatchesPyTorch) {
  ExpectThreeSteps(
      "sgd { momentum: 0.9 weight_decay: 0.01 nesterov: true }",
      {0.2648904621601105, -1.6203924417495728, -0.9581664204597473, 2.9758946895599365},
      {2.8279285430908203, -1.4545196294784546, 5.615302085876465, 0.08111050724983215});
}

TEST(SgdTest, AppliesMultipliersOfRules) {
  at::Tensor w = Floats({1.0f, 1.0f, 1.0f});
  const auto sgd = Make(
      "sgd { weight_decay: 1 } rule { match: '\\\\.bn' weight_decay_multiplier: 0 } "
      "rule { match: '^head' lr_multiplier: 10 } ",
      {{"x.bn.weight", 0, 1}, {"head.fc.weight", 1, 1}, {"x.conv", 2, 1}}, w);
  sgd->Step(Full(3, 0), 0.01, 1, 0);
  ExpectNear(w, {1.0f, 0.9f, 0.99f});
}

TEST(SgdTest, LeavesMemoryBetweenSpansAlone) {
  at::Tensor w = Full(4, 1.0f);
  const auto sgd = Make("sgd {}", {{"b", 3, 1}, {"a", 0, 1}}, w);
  sgd->Step(Full(4, 1.0f), 0.5, 1, 0);
  ExpectNear(w, {0.5f, 1.0f, 1.0f, 0.5f});
}

TEST(SgdTest, ScalesGradientBeforeWeightDecay) {
  at::Tensor w = Full(1, 2.0f);
  const auto sgd = Make("sgd { weight_decay: 0.5 }", {{"a", 0, 1}}, w);
  sgd->Step(Full(1, 4.0f), 0.1, 0.25, 0);
  ExpectNear(w, {1.8f});
}

}  // namespace
}  // namespace finetune
