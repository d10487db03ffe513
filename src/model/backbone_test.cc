// The promises that every network keeps: frozen_stages means the same in each, and a wrong number
// of stages is an error.

#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <google/protobuf/text_format.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/model/loss.h"
#include "src/model/testing.h"

namespace finetune {
namespace {

struct Network {
  const char* name;
  const char* config;
  at::IntArrayRef image;  // [C, H, W]
  // stages[i]: how the names of stage i's tensors begin; stages[0] is the stem.
  std::vector<std::vector<std::string>> stages;
  // How the names of the head's tensors begin.
  const char* head = "head.fc.";
  // How the names of the last stage's tensors begin that count to the head for layer_decay.
  const char* with_head = nullptr;
};

constexpr int64_t kColour[] = {3, 16, 16};
constexpr int64_t kSmall[] = {3, 32, 32};
constexpr int64_t kGrey[] = {1, 32, 32};

std::vector<Network> Networks() {
  return {
      {.name = "ResNet18",
       .config = "resnet { depth: 18 base_channels: 4 stem: CIFAR }",
       .image = kColour,
       .stages = {{"backbone.conv1.", "backbone.bn1."},
                  {"backbone.layer1."},
                  {"backbone.layer2."},
                  {"backbone.layer3."},
                  {"backbone.layer4."}}},
      {.name = "SeResNeXt50D",
       .config = "resnet { depth: 50 base_channels: 16 groups: 4 width_per_group: 16 stem: DEEP "
                 "avg_down: true se_ratio: 16 }",
       .image = kSmall,
       .stages = {{"backbone.stem."},
                  {"backbone.layer1."},
                  {"backbone.layer2."},
                  {"backbone.layer3."},
                  {"backbone.layer4."}}},
      {.name = "RegNetY400MF",
       .config = "regnet { variant: Y_400MF }",
       .image = kSmall,
       .stages = {{"backbone.conv1.", "backbone.bn1."},
                  {"backbone.layer1."},
                  {"backbone.layer2."},
                  {"backbone.layer3."},
                  {"backbone.layer4."}}},
      {.name = "Vgg11",
       .config = "vgg { depth: 11 hidden_features: 16 }",
       .image = kSmall,
       .stages = {{"backbone.features.0."},
                  {"backbone.features.2."},
                  {"backbone.features.4.", "backbone.features.5."},
                  {"backbone.features.7.", "backbone.features.8."},
                  {"backbone.features.10.", "backbone.features.11.", "backbone.classifier.0.",
                   "backbone.classifier.3."}},
       .head = "backbone.classifier.6."},
      {.name = "LeNet5",
       .config = "lenet5 {}",
       .image = kGrey,
       .stages = {{"backbone.features.0."},
                  {"backbone.features.3."},
                  {"backbone.features.6.", "backbone.classifier.0."}},
       .head = "backbone.classifier.2."},
      {.name = "MobileNetV2",
       .config = "mobilenet_v2 { width: 0.25 }",
       .image = kSmall,
       .stages = {{"backbone.conv1."},
                  {"backbone.layer1."},
                  {"backbone.layer2."},
                  {"backbone.layer3."},
                  {"backbone.layer4."},
                  {"backbone.layer5."},
                  {"backbone.layer6."},
                  {"backbone.layer7.", "backbone.conv2."}}},
      {.name = "MobileNetV3Large",
       .config = "mobilenet_v3 {}",
       .image = kSmall,
       .stages = {{"backbone.layer0."},
                  {"backbone.layer1."},
                  {"backbone.layer2.", "backbone.layer3."},
                  {"backbone.layer4.", "backbone.layer5.", "backbone.layer6."},
                  {"backbone.layer7.", "backbone.layer8.", "backbone.layer9.", "backbone.layer10."},
                  {"backbone.layer11.", "backbone.layer12."},
                  {"backbone.layer13.", "backbone.layer14.", "backbone.layer15.",
                   "backbone.layer16.", "head.layers.0."}},
       .head = "head.layers.1."},
      {.name = "MobileNetV3Small",
       .config = "mobilenet_v3 { variant: SMALL }",
       .image = kSmall,
       .stages = {{"backbone.layer0."},
                  {"backbone.layer1."},
                  {"backbone.layer2.", "backbone.layer3."},
                  {"backbone.layer4.", "backbone.layer5.", "backbone.layer6."},
                  {"backbone.layer7.", "backbone.layer8."},
                  {"backbone.layer9.", "backbone.layer10.", "backbone.layer11.",
                   "backbone.layer12.", "head.layers.0."}},
       .head = "head.layers.1."},
      {.name = "ConvNeXtAtto",
       .config = "convnext { variant: ATTO }",
       .image = kSmall,
       .stages = {{"backbone.downsample_layers.0."},
                  {"backbone.stages.0."},
                  {"backbone.downsample_layers.1.", "backbone.stages.1."},
                  {"backbone.downsample_layers.2.", "backbone.stages.2."},
                  {"backbone.downsample_layers.3.", "backbone.stages.3.", "backbone.norm3."}}},
      {.name = "EfficientNetB0",
       .config = "efficientnet {}",
       .image = kSmall,
       .stages = {{"backbone.layers.0."},
                  {"backbone.layers.1."},
                  {"backbone.layers.2."},
                  {"backbone.layers.3."},
                  {"backbone.layers.4.0.", "backbone.layers.4.1.", "backbone.layers.4.2."},
                  {"backbone.layers.4.3.", "backbone.layers.4.4.", "backbone.layers.4.5."},
                  {"backbone.layers.5.0.", "backbone.layers.5.1.", "backbone.layers.5.2.",
                   "backbone.layers.5.3."},
                  {"backbone.layers.5.4.", "backbone.layers.6."}}},
      {.name = "EfficientNetV2B0",
       .config = "efficientnet_v2 { variant: BASE_0 }",
       .image = kSmall,
       .stages = {{"backbone.layers.0."},
                  {"backbone.layers.1."},
                  {"backbone.layers.2."},
                  {"backbone.layers.3."},
                  {"backbone.layers.4."},
                  {"backbone.layers.5."},
                  {"backbone.layers.6.", "backbone.layers.7."}}},
      {.name = "DenseNet121",
       .config = "densenet {}",
       .image = kSmall,
       .stages = {{"backbone.stem."},
                  {"backbone.stages.0.", "backbone.transitions.0."},
                  {"backbone.stages.1.", "backbone.transitions.1."},
                  {"backbone.stages.2.", "backbone.transitions.2."},
                  {"backbone.stages.3.", "backbone.transitions.3."}}},
      {.name = "EfficientNetLite0",
       .config = "efficientnet_lite {}",
       .image = kSmall,
       .stages = {{"backbone._conv_stem.", "backbone._bn0."},
                  {"backbone._blocks.0."},
                  {"backbone._blocks.1.", "backbone._blocks.2."},
                  {"backbone._blocks.3.", "backbone._blocks.4."},
                  {"backbone._blocks.5.", "backbone._blocks.6.", "backbone._blocks.7."},
                  {"backbone._blocks.8.", "backbone._blocks.9.", "backbone._blocks.10."},
                  {"backbone._blocks.11.", "backbone._blocks.12.", "backbone._blocks.13.",
                   "backbone._blocks.14."},
                  {"backbone._blocks.15.", "backbone._conv_head.", "backbone._bn1."}}},
      {.name = "Vit",
       .config = "vit { width: 16 depth: 2 heads: 2 patch_size: 8 image_size: 32 layer_scale: 1 "
                 "registers: 1 }",
       .image = kSmall,
       .stages = {{"backbone.cls_token", "backbone.register_tokens", "backbone.pos_embed",
                   "backbone.patch_embed."},
                  {"backbone.layers.0."},
                  {"backbone.layers.1.", "backbone.ln1."}},
       .head = "head.layers.head.",
       .with_head = "backbone.ln1."},
      {.name = "Swin",
       .config = "swin { width: 32 window_size: 2 }",
       .image = kSmall,
       .stages = {{"backbone.patch_embed."},
                  {"backbone.stages.0."},
                  {"backbone.stages.1."},
                  {"backbone.stages.2."},
                  {"backbone.stages.3.", "backbone.norm3."}},
       .with_head = "backbone.norm3."}};
}

std::string Config(const Network& network, const std::string& more) {
  return absl::StrCat("backbone { ", network.config, " ", more, " } head { num_classes: 3 }");
}

// Returns the stage of a tensor; the number of stages, the stem included, for a tensor of the head.
int StageOf(const Network& network, const std::string& tensor) {
  for (size_t stage = 0; stage < network.stages.size(); ++stage) {
    for (const std::string& start : network.stages[stage]) {
      if (absl::StartsWith(tensor, start)) return static_cast<int>(stage);
    }
  }
  EXPECT_TRUE(absl::StartsWith(tensor, network.head)) << tensor << " belongs to no stage";
  return static_cast<int>(network.stages.size());
}

class EveryNetworkTest : public testing::TestWithParam<Network> {
 protected:
  static int Stages() { return static_cast<int>(GetParam().stages.size()) - 1; }

  static at::Tensor Images() {
    const at::IntArrayRef image = GetParam().image;
    return ByFormula("images", {4, image[0], image[1], image[2]}, 2);
  }

  static std::unique_ptr<Classifier> Model(const std::string& more, bool fused) {
    ClassifierOptions options;
    options.mode.fused = fused;
    return MakeModel(Config(GetParam(), more), options);
  }
};

TEST_P(EveryNetworkTest, FrozenStagesAreTheStemAndTheFirstStages) {
  for (int frozen_stages = -1; frozen_stages <= Stages(); ++frozen_stages) {
    for (const bool fused : {false, true}) {
      SCOPED_TRACE(absl::StrCat("frozen_stages ", frozen_stages, fused ? ", fused" : ", plain"));
      const auto model = Model(absl::StrCat("frozen_stages: ", frozen_stages), fused);
      std::map<std::string, at::Tensor> before;
      for (const NamedTensor& buffer : model->buffers()) {
        before[buffer.name] = buffer.tensor.clone();
      }
      const at::Tensor images = Images().requires_grad_();
      CrossEntropySum(model->Forward(images, kTraining), at::zeros({4}, at::kLong), 0).backward();
      // A frozen stem records no graph.
      EXPECT_EQ(images.grad().defined(), frozen_stages < 0);
      for (const NamedTensor& parameter : model->parameters()) {
        const bool frozen = StageOf(GetParam(), parameter.name) <= frozen_stages;
        EXPECT_EQ(parameter.tensor.requires_grad(), !frozen) << parameter.name;
        EXPECT_EQ(parameter.tensor.grad().defined(), !frozen) << parameter.name;
      }
      size_t changed = 0;
      for (const NamedTensor& buffer : model->buffers()) {
        const bool frozen = StageOf(GetParam(), buffer.name) <= frozen_stages;
        EXPECT_EQ(at::equal(buffer.tensor, before.at(buffer.name)), frozen) << buffer.name;
        changed += frozen ? 0 : 1;
      }
      EXPECT_EQ(model->ChangingBuffers().size(), changed);
    }
  }
}

TEST_P(EveryNetworkTest, KnowsHowManyPartsAreBehindAParameter) {
  const auto model = Model("", /*fused=*/true);
  for (size_t i = 0; i < model->parameters().size(); ++i) {
    const std::string& name = model->parameters()[i].name;
    const char* const with_head = GetParam().with_head;
    const bool counts_to_head = with_head != nullptr && absl::StartsWith(name, with_head);
    EXPECT_EQ(model->PartsBehind(i), counts_to_head ? 0 : Stages() + 1 - StageOf(GetParam(), name))
        << name;
  }
}

TEST_P(EveryNetworkTest, RefusesStagesThatItDoesNotHave) {
  for (const int wrong : {-2, Stages() + 1}) {
    ModelConfig config;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
        Config(GetParam(), absl::StrCat("frozen_stages: ", wrong)), &config));
    const absl::Status status = Classifier::Create(config, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                testing::AllOf(
                    testing::HasSubstr(absl::StrCat("model.backbone.frozen_stages: is ", wrong,
                                                    "; expected -1 to ", Stages(), ": ")),
                    testing::EndsWith(absl::StrCat(" has ", Stages(), " stages behind its stem"))));
  }
}

TEST(Vgg, RefusesImagesOfWhichItsPoolingsWouldLeaveNothing) {
  const auto model =
      MakeModel("backbone { vgg { depth: 11 hidden_features: 0 } } head { num_classes: 3 }");
  EXPECT_TRUE(model->CheckInput(3, 32, 40).ok());
  EXPECT_EQ(model->CheckInput(3, 40, 31).message(),
            "found images of 40x31 with 3 channels; VGG-11 takes images of 32x32 or larger with 3 "
            "channels; end the pipeline with a resize or crop to size 32");
}

TEST(DenseNet, RefusesImagesOfWhichItsTransitionsWouldLeaveNothing) {
  const auto model = MakeModel("backbone { densenet {} } head { num_classes: 3 }");
  EXPECT_TRUE(model->CheckInput(3, 29, 40).ok());
  EXPECT_EQ(model->CheckInput(3, 40, 28).message(),
            "found images of 40x28 with 3 channels; DenseNet-121 takes images of 29x29 or larger "
            "with 3 channels; end the pipeline with a resize or crop to size 29");
  EXPECT_EQ(model->Forward(ByFormula("images", {2, 3, 29, 29}), kEvaluation).sizes(),
            at::IntArrayRef({2, 3}));
}

TEST(DenseNet, SaysWhichDepthsThereAre) {
  ModelConfig config;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "backbone { densenet { depth: 120 } } head { num_classes: 3 }", &config));
  EXPECT_THAT(std::string(Classifier::Create(config, {}).status().message()),
              testing::HasSubstr("model.backbone.densenet.depth: is 120; expected one of 121, 161, "
                                 "169, 201"));
}

// A group of RegNetX-8GF has 120 channels, and its first stage 80.
TEST(RegNet, AStageNarrowerThanAGroupIsOneGroup) {
  const auto model = MakeModel("backbone { regnet { variant: X_8GF } } head { num_classes: 3 }");
  EXPECT_EQ(Named(*model, "backbone.layer1.0.conv2.weight").sizes(),
            at::IntArrayRef({80, 80, 3, 3}));
  EXPECT_EQ(Named(*model, "backbone.layer2.0.conv2.weight").sizes(),
            at::IntArrayRef({240, 120, 3, 3}));
}

INSTANTIATE_TEST_SUITE_P(Networks, EveryNetworkTest, testing::ValuesIn(Networks()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace finetune
