// Expects that a model computes the same as PyTorch with the same weights: logits, loss, gradients
// and running statistics. The fixtures in tests/fixtures/model were computed by PyTorch in float64.
// Where a fixture lists the state of another package's network, the weights are loaded from a
// checkpoint with that package's names.

#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/model/load.h"
#include "src/model/loss.h"
#include "src/model/testing.h"
#include "tests/test_device.h"

namespace finetune {
namespace {

// The largest allowed error, relative to the norm. PyTorch's own float32 results differ from its
// float64 results by up to 3.7e-6 (logits) and 1.8e-5 (the worst parameter's gradient) in these
// cases; the fixtures hold the numbers.
constexpr double kBoundOnCpu = 1e-5;
// On a GPU the bound is larger: cuDNN chooses the algorithm, and so the order of the sums.
constexpr double kBoundOnGpu = 1e-4;
// The largest allowed error of a single value of a gradient, as a multiple of Bound() times the
// gradient's root mean square. Errors are about normally distributed, and a few thousand values are
// compared.
constexpr double kTimesBoundOfOneValue = 4;

double Bound() { return TestDevice().is_cpu() ? kBoundOnCpu : kBoundOnGpu; }

nlohmann::json Fixture(const std::string& name) {
  std::ifstream file("tests/fixtures/model/" + name + ".json");
  EXPECT_TRUE(file.good()) << name;
  return nlohmann::json::parse(file);
}

class Agreement : public testing::TestWithParam<std::tuple<std::string, bool>> {
 protected:
  void SetUp() override {
    options_.mode.fused = std::get<1>(GetParam());
    options_.device = TestDevice();
    fixture_ = Fixture(std::get<0>(GetParam()));
    gain_ = fixture_.value("gain", 1.0);
    model_ = MakeModel(fixture_["config"], options_, gain_);
    ASSERT_NE(model_, nullptr);
    if (fixture_.contains("checkpoint")) LoadCheckpoint();
    images_ = ByFormula(fixture_["images"], fixture_["shape"].get<std::vector<int64_t>>(), 2)
                  .to(TestDevice());
    labels_ = at::tensor(fixture_["labels"].get<std::vector<int64_t>>()).to(TestDevice());
    expected_logits_ =
        at::tensor(fixture_["logits"].get<std::vector<double>>()).view({images_.size(0), -1});
  }

  void LoadCheckpoint() {
    StateDict checkpoint;
    for (const auto& tensor : fixture_["checkpoint"]) {
      const std::string name = tensor[0];
      checkpoint.tensors.push_back(
          {name, ValueOf(name, tensor[1].get<std::vector<int64_t>>(), gain_)});
    }
    const absl::StatusOr<LoadReport> report = LoadClassifier(checkpoint, {}, model_.get());
    ASSERT_TRUE(report.ok()) << report.status();
    const size_t unneeded = fixture_.value("unneeded", std::vector<std::string>()).size();
    // transformers has three tensors for one of ours.
    const size_t joined = fixture_.value("joined", 0);
    EXPECT_EQ(report->matched, checkpoint.tensors.size() - unneeded - joined);
  }

  // Two correct float32 results may each be as far from float64 as PyTorch's is.
  double GradientBound() const {
    return std::max(Bound(), 2 * fixture_["pytorch_float32"]["gradients"].get<double>());
  }

  void ExpectSummary(const at::Tensor& actual, const nlohmann::json& summary,
                     const std::string& name) const {
    const at::Tensor flat = actual.to(at::kCPU, at::kDouble).contiguous().view(-1);
    const double expected_rms = summary["rms"];
    // Values that are 0 except for rounding have a "scale" in the fixture: the size of the numbers
    // that were rounded.
    const double scale = summary.value("scale", expected_rms);
    const double rms = flat.square().mean().sqrt().item<double>();
    EXPECT_NEAR(rms, expected_rms, GradientBound() * scale) << name;
    const std::vector<int64_t> indices = summary["index"];
    const std::vector<double> values = summary["value"];
    ASSERT_FALSE(values.empty());
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(flat[indices[i]].item<double>(), values[i],
                  kTimesBoundOfOneValue * GradientBound() * scale)
          << name << " at " << indices[i];
    }
  }

  ClassifierOptions options_;
  nlohmann::json fixture_;
  double gain_ = 1;  // see ValueOf()
  std::unique_ptr<Classifier> model_;
  at::Tensor images_, labels_, expected_logits_;
};

TEST_P(Agreement, OfNamesShapesLogitsLossGradientsAndStatistics) {
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const NamedTensor& p : model_->parameters()) shapes[p.name] = p.tensor.sizes().vec();
  EXPECT_EQ(shapes.size(), model_->parameters().size()) << "a name occurs twice";
  std::map<std::string, std::vector<int64_t>> expected_shapes;
  for (const auto& p : fixture_["parameters"]) {
    expected_shapes[p[0]] = p[1].get<std::vector<int64_t>>();
  }
  EXPECT_EQ(shapes, expected_shapes);

  const at::Tensor logits = model_->Forward(images_, {.training = fixture_["train"].get<bool>()});
  EXPECT_EQ(logits.scalar_type(), at::kFloat);
  EXPECT_LT(RelativeError(logits, expected_logits_), Bound());
  const at::Tensor loss = CrossEntropySum(logits, labels_, fixture_["smoothing"]);
  const double expected_loss = fixture_["loss"];
  EXPECT_NEAR(loss.item<double>(), expected_loss, Bound() * expected_loss);
  if (!fixture_["train"]) {
    EXPECT_FALSE(logits.requires_grad());
    return;
  }

  loss.backward();
  std::set<std::string> with_gradient, expected_with_gradient;
  for (const NamedTensor& p : model_->parameters()) {
    if (p.tensor.grad().defined()) with_gradient.insert(p.name);
  }
  for (const auto& [name, summary] : fixture_["gradients"].items()) {
    expected_with_gradient.insert(name);
    if (with_gradient.count(name) != 0) ExpectSummary(Named(*model_, name).grad(), summary, name);
  }
  EXPECT_EQ(with_gradient, expected_with_gradient);
  EXPECT_EQ(model_->buffers().size(), fixture_["buffers"].size());
  for (const NamedTensor& buffer : model_->buffers()) {
    ASSERT_TRUE(fixture_["buffers"].contains(buffer.name)) << buffer.name;
    ExpectSummary(buffer.tensor, fixture_["buffers"][buffer.name], buffer.name);
  }
}

std::string NameOfCase(const testing::TestParamInfo<std::tuple<std::string, bool>>& info) {
  return std::get<0>(info.param) + (std::get<1>(info.param) ? "_fused" : "_plain");
}

INSTANTIATE_TEST_SUITE_P(
    WithPyTorch, Agreement,
    testing::Combine(
        testing::Values(
            "convnext_atto_timm", "convnext_tiny_original", "convnext_tiny_torchvision",
            "convnext_v2_atto_original", "convnext_v2_femto_mmpretrain", "convnext_v2_nano_timm",
            "efficientnet_b0_original", "efficientnet_b0_torchvision", "efficientnet_b1_timm",
            "efficientnet_b2_timm", "efficientnet_b3_mmpretrain", "efficientnet_b4_mmpretrain",
            "efficientnet_lite0_evaluated", "efficientnet_lite0_frozen5",
            "efficientnet_lite0_norm_eval", "efficientnet_lite0_timm", "efficientnet_lite0_timm_tf",
            "efficientnet_lite1", "efficientnet_lite2", "efficientnet_lite3", "efficientnet_lite4",
            "lenet5", "mobilenet_v2_mmpretrain", "mobilenet_v2_timm", "mobilenet_v2_torchvision",
            "mobilenet_v3_large_timm", "mobilenet_v3_large_torchvision",
            "mobilenet_v3_small_mmpretrain", "mobilenet_v3_small_timm_tf",
            "mobilenet_v3_small_torchvision", "resnet18_cifar", "resnet18_evaluated",
            "resnet18_frozen4", "resnet34_norm_eval", "resnet50", "resnet50_caffe",
            "resnet50_evaluated", "resnet50_frozen2", "resnet101", "resnet152", "vit_dinov2",
            "vit_mmpretrain", "vit_timm", "vit_timm_mean", "vit_timm_registers", "vit_torchvision",
            "vit_transformers"),
        testing::Bool()),
    NameOfCase);

INSTANTIATE_TEST_SUITE_P(DenseNet, Agreement,
                         testing::Combine(testing::Values("densenet121_mmpretrain",
                                                          "densenet121_torchvision",
                                                          "densenet121_torchvision_file"),
                                          testing::Bool()),
                         NameOfCase);

INSTANTIATE_TEST_SUITE_P(
    EfficientNetV2, Agreement,
    testing::Combine(testing::Values("efficientnet_v2_b0_mmpretrain", "efficientnet_v2_b0_timm_tf",
                                     "efficientnet_v2_b3_mmpretrain", "efficientnet_v2_s_timm",
                                     "efficientnet_v2_s_torchvision"),
                     testing::Bool()),
    NameOfCase);

INSTANTIATE_TEST_SUITE_P(Swin, Agreement,
                         testing::Combine(testing::Values("swin_mmpretrain", "swin_original",
                                                          "swin_timm", "swin_torchvision"),
                                          testing::Bool()),
                         NameOfCase);

INSTANTIATE_TEST_SUITE_P(
    RegNet, Agreement,
    testing::Combine(testing::Values("regnetx_400mf_mmpretrain", "regnetx_400mf_torchvision",
                                     "regnety_400mf_torchvision", "regnety_800mf_timm"),
                     testing::Bool()),
    NameOfCase);

INSTANTIATE_TEST_SUITE_P(Vgg, Agreement,
                         testing::Combine(testing::Values("vgg11_torchvision", "vgg13_mmpretrain",
                                                          "vgg16_timm"),
                                          testing::Bool()),
                         NameOfCase);

// Networks that change ResNet's stem or blocks.
INSTANTIATE_TEST_SUITE_P(VariantsOfResNet, Agreement,
                         testing::Combine(testing::Values("resnet18c_mmpretrain",
                                                          "resnet50d_mmpretrain", "resnet50d_timm",
                                                          "resnext50", "seresnet50_mmpretrain",
                                                          "seresnext50d_timm", "wide_resnet50"),
                                          testing::Bool()),
                         NameOfCase);

}  // namespace
}  // namespace finetune
