// Tests the networks of inverted residual blocks. agreement_test.cc compares their numbers with the
// original networks'; this file tests everything else.

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <google/protobuf/text_format.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/model/testing.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;

std::string Config(const std::string& network, const std::string& backbone = "") {
  return absl::StrCat("backbone { ", network, " ", backbone, " } head { num_classes: 3 }");
}

at::Tensor Images(int64_t n, int64_t height, int64_t width) {
  return ByFormula("images", {n, 3, height, width}, 2).contiguous(at::MemoryFormat::ChannelsLast);
}

struct Network {
  const char* name;
  const char* config;
  double gain = 1;  // see ValueOf()
  // The largest relative error that the bfloat16 logits may have against the float32 ones.
  double bfloat16_error = 0.03;
};

class InvertedResidualsTest : public testing::TestWithParam<Network> {};

TEST_P(InvertedResidualsTest, EnginesAgreeInFloat32OnSidesOfEveryPadding) {
  const std::string config = Config(GetParam().config);
  const auto plain = MakeModel(config, EngineOptions(false), GetParam().gain),
             fused = MakeModel(config, EngineOptions(true), GetParam().gain);
  // Sides that are even before every stride, odd before every stride, and mixed.
  for (const auto& [height, width] : {std::pair(64, 64), std::pair(33, 65), std::pair(75, 46)}) {
    const at::Tensor images = Images(3, height, width);
    EXPECT_LT(
        RelativeError(fused->Forward(images, kEvaluation), plain->Forward(images, kEvaluation)),
        1e-5)
        << height << "x" << width;
  }
}

// The bounds are those of bfloat16. In float32 the two engines differ by about 4e-7.
TEST_P(InvertedResidualsTest, EnginesAgreeInBfloat16AsFarAsItsRoundingGoes) {
  const std::string config = Config(GetParam().config);
  const at::Tensor images = Images(4, 64, 64);
  const at::Tensor exact =
      MakeModel(config, EngineOptions(false), GetParam().gain)->Forward(images, kEvaluation);
  for (const bool fused : {false, true}) {
    const double error =
        RelativeError(MakeModel(config, EngineOptions(fused, true), GetParam().gain)
                          ->Forward(images, kEvaluation),
                      exact);
    EXPECT_GT(error, 5e-6) << "it was not in bfloat16";
    EXPECT_LT(error, GetParam().bfloat16_error);
  }
}

TEST_P(InvertedResidualsTest, TrainsInBfloat16WithGradientsInFloat32) {
  ExpectBfloat16TrainsWithFloat32Gradients(Config(GetParam().config, "frozen_stages: 4"),
                                           Images(8, 96, 96), GetParam().gain);
}

INSTANTIATE_TEST_SUITE_P(
    Networks, InvertedResidualsTest,
    testing::Values(Network{"EfficientNetLite0", "efficientnet_lite {}"},
                    Network{"EfficientNetB0", "efficientnet {}", 1.35},
                    Network{"EfficientNetB0OfPyTorch", "efficientnet { origin: PYTORCH }", 1.35},
                    Network{"EfficientNetV2B0", "efficientnet_v2 { variant: BASE_0 }", 1.25, 0.05},
                    Network{"EfficientNetV2B0OfTorchvision",
                            "efficientnet_v2 { variant: BASE_0 origin: TORCHVISION }", 1.25, 0.05},
                    Network{"MobileNetV2", "mobilenet_v2 {}"},
                    Network{"MobileNetV3Large", "mobilenet_v3 {}", 1.3},
                    Network{"MobileNetV3Small", "mobilenet_v3 { variant: SMALL }", 1.3},
                    Network{"MobileNetV3SmallOfTensorFlow",
                            "mobilenet_v3 { variant: SMALL origin: TENSORFLOW }", 1.3}),
    [](const auto& info) { return std::string(info.param.name); });

class EfficientNetsTest : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Networks, EfficientNetsTest,
                         testing::Values("efficientnet", "efficientnet_lite", "efficientnet_v2"),
                         [](const auto& info) { return info.param; });

TEST_P(EfficientNetsTest, DrawsByIterationAndImageAndOnlyInTraining) {
  // With norm_eval the batch norms use the running statistics, so an image's result does not depend
  // on the other images.
  const auto model = MakeModel(Config(GetParam() + " { drop_path: 0.5 }", "norm_eval: true"));
  const auto without = MakeModel(Config(GetParam() + " {}", "norm_eval: true"));
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

TEST_P(EfficientNetsTest, SaysWhichVariantsThereAre) {
  std::vector<std::pair<const char*, const char*>> cases = {{"drop_path: 1", ".drop_path"}};
  // EfficientNetV2's variants have names.
  if (GetParam() != "efficientnet_v2") {
    cases.insert(cases.end(),
                 {{"variant: 5", ".variant: is 5"}, {"variant: -1", ".variant: is -1"}});
  }
  for (const auto& [settings, error] : cases) {
    ModelConfig config;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
        Config(GetParam() + " { " + settings + " }"), &config));
    EXPECT_THAT(std::string(Classifier::Create(config, {}).status().message()),
                HasSubstr("model.backbone." + GetParam() + error));
  }
}

}  // namespace
}  // namespace finetune
