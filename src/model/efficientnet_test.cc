// Tests EfficientNet-Lite's other properties; agreement_test.cc compares its numbers with the
// reference package.

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <google/protobuf/text_format.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/model/testing.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;

std::string Lite(const std::string& settings, const std::string& backbone = "") {
  return absl::StrCat("backbone { efficientnet_lite { ", settings, " } ", backbone,
                      " } head { num_classes: 3 }");
}

at::Tensor Images(int64_t n, int64_t height, int64_t width) {
  return ByFormula("images", {n, 3, height, width}, 2).contiguous(at::MemoryFormat::ChannelsLast);
}

TEST(EfficientNetLiteTest, EnginesAgreeInFloat32OnSidesOfEveryPadding) {
  const auto plain = MakeModel(Lite(""), EngineOptions(false)),
             fused = MakeModel(Lite(""), EngineOptions(true));
  // The sides are even at every stride; odd at every stride; even and odd by turns.
  for (const auto& [height, width] : {std::pair(64, 64), std::pair(33, 65), std::pair(75, 46)}) {
    const at::Tensor images = Images(3, height, width);
    EXPECT_LT(
        RelativeError(fused->Forward(images, kEvaluation), plain->Forward(images, kEvaluation)),
        1e-5)
        << height << "x" << width;
  }
}

// The same as in resnet_test.cc, but ReLU6's bound makes the errors smaller. In float32 the engines
// differ by 4e-7.
TEST(EfficientNetLiteTest, EnginesAgreeInBfloat16AsFarAsItsRoundingGoes) {
  const at::Tensor images = Images(4, 64, 64);
  const at::Tensor exact = MakeModel(Lite(""), EngineOptions(false))->Forward(images, kEvaluation);
  for (const bool fused : {false, true}) {
    const double error = RelativeError(
        MakeModel(Lite(""), EngineOptions(fused, true))->Forward(images, kEvaluation), exact);
    EXPECT_GT(error, 5e-6) << "it was not in bfloat16";
    EXPECT_LT(error, 0.03);
  }
}

TEST(EfficientNetLiteTest, TrainsInBfloat16WithGradientsInFloat32) {
  ExpectBfloat16TrainsWithFloat32Gradients(Lite("", "frozen_stages: 4"), Images(8, 96, 96));
}

TEST(EfficientNetLiteTest, DropPathDrawsByIterationAndImageAndOnlyInTraining) {
  // With norm_eval the statistics stay, so an image's result does not depend on the other images.
  const auto model = MakeModel(Lite("drop_path: 0.5", "norm_eval: true"));
  const auto without = MakeModel(Lite("", "norm_eval: true"));
  const at::Tensor images = Images(4, 32, 32);
  const std::vector<int64_t> indices = {7, 3, 12, 1};
  const auto run = [&](int64_t iteration, int64_t begin, int64_t count) {
    return model
        ->Forward(images.narrow(0, begin, count),
                  {.training = true,
                   .iteration = iteration,
                   .indices = absl::MakeConstSpan(indices).subspan(begin, count)})
        .detach();
  };
  const at::Tensor whole = run(0, 0, 4);
  EXPECT_LT(RelativeError(run(0, 1, 2), whole.narrow(0, 1, 2)), 1e-5) << "in another part";
  EXPECT_GT(RelativeError(run(1, 0, 4), whole), 1e-3) << "in another iteration";
  EXPECT_TRUE(
      at::equal(model->Forward(images, kEvaluation), without->Forward(images, kEvaluation)));
}

TEST(EfficientNetLiteTest, SaysWhichVariantsThereAre) {
  for (const auto& [settings, error] :
       {std::pair("variant: 5", "model.backbone.efficientnet_lite.variant: is 5"),
        std::pair("variant: -1", "model.backbone.efficientnet_lite.variant: is -1"),
        std::pair("drop_path: 1", "model.backbone.efficientnet_lite.drop_path")}) {
    ModelConfig config;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(Lite(settings), &config));
    EXPECT_THAT(std::string(Classifier::Create(config, {}).status().message()), HasSubstr(error));
  }
}

}  // namespace
}  // namespace finetune
