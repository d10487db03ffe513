// Tests ConvNeXt and ConvNeXt V2. agreement_test.cc compares their numbers with the original
// networks'; this file tests everything else.

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <google/protobuf/text_format.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/model/testing.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;

std::string Config(const std::string& convnext, const std::string& backbone = "") {
  return absl::StrCat("backbone { convnext { variant: ATTO ", convnext, " } ", backbone,
                      " } neck { kind: NONE } head { num_classes: 3 }");
}

at::Tensor Images(int64_t n, int64_t height, int64_t width) {
  return ByFormula("images", {n, 3, height, width}, 2).contiguous(at::MemoryFormat::ChannelsLast);
}

std::string ErrorOf(const std::string& convnext) {
  ModelConfig config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(Config(convnext), &config));
  return std::string(Classifier::Create(config, {}).status().message());
}

class ConvNeXtTest : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Versions, ConvNeXtTest, testing::Values("version: V1", "version: V2"),
                         [](const auto& info) { return info.param.substr(info.param.size() - 2); });

TEST_P(ConvNeXtTest, EnginesAgreeOnSidesThatAreNoMultiplesOf32) {
  const auto plain = MakeModel(Config(GetParam()), EngineOptions(false)),
             fused = MakeModel(Config(GetParam()), EngineOptions(true));
  for (const auto& [height, width] : {std::pair(64, 64), std::pair(33, 65), std::pair(75, 46)}) {
    const at::Tensor images = Images(3, height, width);
    EXPECT_LT(
        RelativeError(fused->Forward(images, kEvaluation), plain->Forward(images, kEvaluation)),
        1e-5)
        << height << "x" << width;
  }
}

TEST_P(ConvNeXtTest, EnginesAgreeInBfloat16AsFarAsItsRoundingGoes) {
  const at::Tensor images = Images(4, 64, 64);
  const at::Tensor exact =
      MakeModel(Config(GetParam()), EngineOptions(false))->Forward(images, kEvaluation);
  for (const bool fused : {false, true}) {
    const double error = RelativeError(
        MakeModel(Config(GetParam()), EngineOptions(fused, true))->Forward(images, kEvaluation),
        exact);
    EXPECT_GT(error, 5e-6) << "it was not in bfloat16";
    EXPECT_LT(error, 0.03);
  }
}

TEST_P(ConvNeXtTest, TrainsInBfloat16WithGradientsInFloat32) {
  ExpectBfloat16TrainsWithFloat32Gradients(Config(GetParam(), "frozen_stages: 1"),
                                           Images(8, 64, 64));
}

TEST_P(ConvNeXtTest, DrawsByIterationAndImageAndOnlyInTraining) {
  const auto model = MakeModel(Config(GetParam() + " drop_path: 0.5"));
  const auto without = MakeModel(Config(GetParam()));
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

// A rank may get no image of the last batch of an epoch.
TEST_P(ConvNeXtTest, TakesABatchWithoutImages) {
  const auto model = MakeModel(Config(GetParam()));
  ForwardAndBackward(model.get(), Images(0, 32, 32));
  for (const NamedTensor& parameter : model->parameters()) {
    const at::Tensor& gradient = parameter.tensor.grad();
    ASSERT_TRUE(gradient.defined()) << parameter.name;
    EXPECT_EQ(gradient.abs().sum().item<double>(), 0) << parameter.name;
  }
}

TEST(ConvNeXt, StartsItsLayerScalesAtTheirSetting) {
  const auto scales = [](const std::string& convnext) {
    ModelConfig config;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(Config(convnext), &config));
    const auto model = Classifier::Create(config, {});
    EXPECT_TRUE(model.ok()) << model.status();
    std::vector<float> values;
    for (const NamedTensor& parameter : (*model)->parameters()) {
      if (absl::EndsWith(parameter.name, ".gamma") && !absl::StrContains(parameter.name, ".grn.")) {
        values.push_back(parameter.tensor.mean().item<float>());
      }
    }
    return values;
  };
  EXPECT_THAT(scales(""), testing::AllOf(testing::SizeIs(2 + 2 + 6 + 2),
                                         testing::Each(testing::FloatEq(1e-6F))));
  EXPECT_THAT(scales("layer_scale_init: 0.5"), testing::Each(testing::FloatEq(0.5F)));
  EXPECT_THAT(scales("layer_scale_init: 0"), testing::IsEmpty());
  EXPECT_THAT(scales("version: V2"), testing::IsEmpty());
}

TEST(ConvNeXt, RefusesSettingsThatItDoesNotHave) {
  EXPECT_THAT(ErrorOf("drop_path: 1"), HasSubstr("model.backbone.convnext.drop_path"));
  EXPECT_THAT(ErrorOf("layer_scale_init: -1"),
              HasSubstr("model.backbone.convnext.layer_scale_init: is -1"));
  EXPECT_THAT(ErrorOf("version: V2 layer_scale_init: 0.1"),
              HasSubstr("model.backbone.convnext.layer_scale_init: is 0.1; expected 0 or no value: "
                        "ConvNeXt V2 has no layer scale"));
  EXPECT_EQ(ErrorOf("version: V2 layer_scale_init: 0"), "");
}

TEST(ConvNeXt, RefusesImagesThatAreTooSmall) {
  const auto model = MakeModel(Config(""));
  EXPECT_TRUE(model->CheckInput(3, 32, 32).ok());
  const absl::Status status = model->CheckInput(3, 28, 40);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(
      std::string(status.message()),
      "found images of 28x40 with 3 channels; ConvNeXt-Atto takes images of 32x32 or larger with "
      "3 channels; end the pipeline with a resize or crop to size 32");
}

}  // namespace
}  // namespace finetune
