#include "src/model/training_loss.h"

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/model/loss.h"
#include "src/testing/errors_of.h"
#include "src/testing/from_text.h"
#include "tests/test_device.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

at::Tensor Labels(const std::vector<int64_t>& labels) {
  return at::tensor(labels).to(TestDevice());
}

TrainingLoss LossOf(const std::string& config, const at::Tensor& weights = {}) {
  return TrainingLoss(FromText<HeadConfig>(config), weights);
}

// Compares each loss and its gradient with a fixture in float64 by timm and torchvision.
TEST(TrainingLoss, MatchesTimmsAndTorchvisions) {
  std::ifstream file("tests/fixtures/model/training_losses.json");
  ASSERT_TRUE(file.good());
  const nlohmann::json fixture = nlohmann::json::parse(file);
  const int64_t images = fixture["images"], classes = fixture["classes"];
  const auto matrix = [&](const nlohmann::json& values) {
    return at::tensor(values.get<std::vector<double>>())
        .view({images, classes})
        .to(TestDevice(), at::kFloat);
  };
  const at::Tensor weights =
      at::tensor(fixture["weights"].get<std::vector<double>>()).to(TestDevice(), at::kFloat);
  ASSERT_EQ(fixture["cases"].size(), 19u);
  for (const nlohmann::json& one : fixture["cases"]) {
    const std::string config = one["config"];
    SCOPED_TRACE(config + " " + one["kind"].get<std::string>());
    at::Tensor logits = matrix(fixture["logits"]).requires_grad_();
    const at::Tensor targets = one["kind"] == "indices"
                                   ? Labels(fixture["indices"].get<std::vector<int64_t>>())
                                   : matrix(fixture["mixed"]);
    const at::Tensor loss =
        LossOf(config, one["weighted"] ? weights : at::Tensor()).Sum(logits, targets);
    loss.backward();
    const double expected = one["loss"];
    EXPECT_NEAR(loss.item<double>(), expected, 2e-6 * expected);
    EXPECT_LT(logits.grad().sub(matrix(one["gradient"])).abs().max().item<double>(), 1e-6);
  }
}

TEST(TrainingLoss, IsTheCrossEntropyUnlessAnotherLossIsChosen) {
  const at::Tensor logits =
      at::tensor({.1f, .5f, .2f, .4f, .9f, .5f}).view({2, 3}).to(TestDevice());
  const at::Tensor labels = Labels({2, 0});
  for (const char* config : {"label_smoothing: 0.1", "label_smoothing: 0.1 cross_entropy {}"}) {
    EXPECT_EQ(LossOf(config).Sum(logits, labels).item<double>(),
              CrossEntropySum(logits, labels, 0.1f).item<double>());
  }
}

TEST(TrainingLoss, OfNoImagesIsZero) {
  const at::Tensor logits = at::zeros({0, 5}, TestDevice());
  for (const char* config : {"", "bce {}", "bce { target_threshold: 0.5 }", "focal {}"}) {
    EXPECT_EQ(LossOf(config).Sum(logits, Labels({})).item<double>(), 0) << config;
    EXPECT_EQ(LossOf(config).Sum(logits, logits).item<double>(), 0) << config;
  }
}

// p rounds to 1 in float32, where the derivative of (1 - p)^gamma is infinite.
TEST(TrainingLoss, FocalLossOfACertainRightAnswerHasAFiniteGradient) {
  for (const float logit : {40.f, -40.f, 0.f}) {
    at::Tensor logits = at::full({1, 2}, logit, TestDevice()).requires_grad_();
    const at::Tensor loss = LossOf("focal { gamma: 0.5 }").Sum(logits, Labels({1}));
    loss.backward();
    EXPECT_TRUE(std::isfinite(loss.item<double>())) << logit;
    EXPECT_TRUE(std::isfinite(logits.grad().abs().max().item<double>())) << logit;
  }
}

std::vector<Problem> ErrorsOf(const std::string& text) {
  return finetune::ErrorsOf(TrainingLoss::Check, "model.head", text);
}

TEST(TrainingLoss, CheckReportsEveryFieldThatIsWrong) {
  EXPECT_THAT(ErrorsOf("num_classes: 10 label_smoothing: 0.1 bce { target_threshold: 0.2 }"),
              IsEmpty());
  EXPECT_THAT(ErrorsOf("num_classes: 10 bce { target_threshold: 0 sum_classes: true }"), IsEmpty());
  EXPECT_THAT(ErrorsOf("num_classes: 10 focal { gamma: 0 alpha: -1 }"), IsEmpty());
  EXPECT_THAT(
      ErrorsOf("label_smoothing: 1 bce { target_threshold: 1 }"),
      ElementsAre(
          Problem{"model.head.label_smoothing", "is 1; expected at least 0 and less than 1"},
          Problem{"model.head.bce.target_threshold", "is 1; expected at least 0 and less than 1"}));
  EXPECT_THAT(ErrorsOf("num_classes: 10 focal { gamma: -1 alpha: 1.5 }"),
              ElementsAre(Problem{"model.head.focal.gamma", "is -1; expected 0 or more"},
                          Problem{"model.head.focal.alpha", "is 1.5; expected 0 to 1"}));
}

// Smoothing makes the targets of 10 classes 0.01 and 0.91.
TEST(TrainingLoss, RefusesAThresholdThatMakesAllTargetsEqual) {
  EXPECT_THAT(
      ErrorsOf("num_classes: 10 label_smoothing: 0.1 bce { target_threshold: 0 }"),
      ElementsAre(Problem{"model.head.bce.target_threshold",
                          "is 0; label_smoothing makes the targets 0.01 and 0.91, and so all would "
                          "be 1: expected at least 0.01 and less than 0.91"}));
  EXPECT_THAT(
      ErrorsOf("num_classes: 10 label_smoothing: 0.1 bce { target_threshold: 0.95 }"),
      ElementsAre(Problem{"model.head.bce.target_threshold",
                          "is 0.95; label_smoothing makes the targets 0.01 and 0.91, and so all "
                          "would be 0: expected at least 0.01 and less than 0.91"}));
}

TEST(TrainingLoss, FocalLossRefusesLabelSmoothing) {
  EXPECT_THAT(
      ErrorsOf("num_classes: 10 label_smoothing: 0.1 focal {}"),
      ElementsAre(Problem{"model.head.focal",
                          "is defined for labels that are certain, and label_smoothing is more "
                          "than 0: drop one of them"}));
}

}  // namespace
}  // namespace finetune
