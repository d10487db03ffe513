#include "src/plan/summary.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/atomic_file.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<LayerSummary> Layers(const ModelConfig& config, const PreparedShape& shape) {
  absl::StatusOr<std::vector<LayerSummary>> layers = SummarizeLayers(config, shape);
  EXPECT_TRUE(layers.ok()) << layers.status();
  return layers.ok() ? *std::move(layers) : std::vector<LayerSummary>();
}

std::vector<std::string> Names(const std::vector<LayerSummary>& layers) {
  std::vector<std::string> names;
  for (const LayerSummary& layer : layers) names.push_back(layer.name);
  return names;
}

int64_t Sum(const std::vector<LayerSummary>& layers, int64_t LayerSummary::*member) {
  return std::accumulate(
      layers.begin(), layers.end(), int64_t{0},
      [&](int64_t sum, const LayerSummary& layer) { return sum + layer.*member; });
}

ModelConfig ResNet50() {
  ModelConfig config;
  config.mutable_backbone()->mutable_resnet()->set_depth(50);
  config.mutable_head()->set_num_classes(1000);
  return config;
}

// torchvision documents resnet50 with 25,557,032 parameters and 4.09 GFLOPS, which counts
// multiply-adds.
TEST(SummarizeLayers, CountsResNet50AsItsDocumentationDoes) {
  const std::vector<LayerSummary> layers = Layers(ResNet50(), {3, 224, 224});
  EXPECT_EQ(Sum(layers, &LayerSummary::parameters), 25557032);
  EXPECT_EQ(Sum(layers, &LayerSummary::trained), 25557032);
  EXPECT_NEAR(static_cast<double>(Sum(layers, &LayerSummary::multiply_adds)), 4.09e9, 0.005e9);
}

// Parameters as the packages count them. Multiply-adds as torchvision documents them, and for
// ResNet-50-D and SE-ResNet-50 as timm does.
TEST(SummarizeLayers, CountsOtherNetworksAsTheirDocumentationDoes) {
  struct Case {
    const char* backbone;
    int64_t parameters;
    double multiply_adds;
  };
  for (const auto& [backbone, parameters, multiply_adds] :
       {Case{"resnet { depth: 50 groups: 32 width_per_group: 4 }", 25028904, 4.23e9},
        Case{"resnet { depth: 50 width_per_group: 128 }", 68883240, 11.398e9},
        Case{"resnet { depth: 50 stem: DEEP avg_down: true }", 25576264, 4.35e9},
        Case{"resnet { depth: 50 se_ratio: 16 }", 28088024, 4.13e9},
        // torchvision's count without three quarters of its transitions' convolutions.
        Case{"densenet {}", 7978856, 2.60e9}, Case{"regnet { variant: Y_400MF }", 4344144, 0.402e9},
        Case{"regnet { variant: X_400MF_TORCHVISION }", 5495976, 0.414e9}}) {
    ModelConfig config;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(backbone, config.mutable_backbone()));
    config.mutable_head()->set_num_classes(1000);
    const std::vector<LayerSummary> layers = Layers(config, {3, 224, 224});
    EXPECT_EQ(Sum(layers, &LayerSummary::parameters), parameters) << backbone;
    EXPECT_NEAR(static_cast<double>(Sum(layers, &LayerSummary::multiply_adds)), multiply_adds,
                0.02 * multiply_adds)
        << backbone;
  }
}

TEST(SummarizeLayers, KnowsShapesAndFrozenStages) {
  ModelConfig config = ResNet50();
  config.mutable_backbone()->set_frozen_stages(2);
  const std::vector<LayerSummary> stages = GroupLayers(Layers(config, {3, 224, 224}), 2);
  EXPECT_THAT(Names(stages),
              ElementsAre("backbone.conv1", "backbone.bn1", "backbone.layer1", "backbone.layer2",
                          "backbone.layer3", "backbone.layer4", "head.fc"));
  EXPECT_THAT(stages[0].output, ElementsAre(64, 112, 112));
  EXPECT_THAT(stages[2].output, ElementsAre(256, 56, 56));
  EXPECT_THAT(stages[5].output, ElementsAre(2048, 7, 7));
  EXPECT_THAT(stages[6].output, ElementsAre(1000));
  for (const size_t frozen : {0, 1, 2, 3}) EXPECT_EQ(stages[frozen].trained, 0);
  for (const size_t trained : {4, 5, 6}) {
    EXPECT_EQ(stages[trained].trained, stages[trained].parameters);
  }
}

TEST(SummarizeLayers, KnowsNetworksWithBiasesAndLinearLayers) {
  ModelConfig config;
  config.mutable_backbone()->mutable_lenet5();
  config.mutable_neck()->set_kind(NeckConfig::NONE);
  config.mutable_head()->set_num_classes(10);
  const std::vector<LayerSummary> layers = Layers(config, {1, 32, 32});
  // LeCun et al. 1998: the paper's network has 61,706 weights and biases with full connections.
  EXPECT_EQ(Sum(layers, &LayerSummary::parameters), 61706);
  ASSERT_EQ(layers.size(), 5u);
  EXPECT_THAT(layers.front().output, ElementsAre(6, 28, 28));
  EXPECT_EQ(layers.front().multiply_adds, 6 * 28 * 28 * 25);
  EXPECT_THAT(layers.back().output, ElementsAre(10));
  EXPECT_EQ(layers.back().multiply_adds, 84 * 10);
}

// torchvision documents vit_b_16 with 86,567,656 parameters and 17.56 GFLOPS, attention included.
TEST(SummarizeLayers, CountsAVisionTransformerAsItsDocumentationDoes) {
  ModelConfig config;
  config.mutable_backbone()->mutable_vit()->set_variant(VitConfig::BASE);
  config.mutable_head()->set_num_classes(1000);
  const std::vector<LayerSummary> layers = Layers(config, {3, 224, 224});
  EXPECT_EQ(Sum(layers, &LayerSummary::parameters), 86567656);
  EXPECT_NEAR(static_cast<double>(Sum(layers, &LayerSummary::multiply_adds)), 17.56e9, 0.005e9);
  const auto qkv = std::find_if(layers.begin(), layers.end(), [](const LayerSummary& layer) {
    return layer.name == "backbone.layers.0.attn.qkv";
  });
  ASSERT_NE(qkv, layers.end());
  EXPECT_THAT(qkv->output, ElementsAre(197, 3 * 768));
}

// torchvision documents swin_t with 28,288,354 parameters and 4.491 GFLOPS, attention included.
TEST(SummarizeLayers, CountsASwinTransformerAsItsDocumentationDoes) {
  ModelConfig config;
  config.mutable_backbone()->mutable_swin();
  config.mutable_head()->set_num_classes(1000);
  const std::vector<LayerSummary> layers = Layers(config, {3, 224, 224});
  EXPECT_EQ(Sum(layers, &LayerSummary::parameters), 28288354);
  EXPECT_NEAR(static_cast<double>(Sum(layers, &LayerSummary::multiply_adds)), 4.491e9, 0.0005e9);
}

TEST(SummarizeLayers, RefusesImagesThatTheNetworkDoesNotTake) {
  EXPECT_THAT(std::string(SummarizeLayers(ResNet50(), {1, 224, 224}).status().message()),
              HasSubstr("data.train.pipeline"));
}

TEST(GroupLayers, KeepsEveryLayerAtDepth0) {
  const std::vector<LayerSummary> layers = Layers(ResNet50(), {3, 64, 64});
  EXPECT_EQ(Names(GroupLayers(layers, 0)), Names(layers));
  const std::vector<LayerSummary> one = GroupLayers(layers, 1);
  EXPECT_THAT(Names(one), ElementsAre("backbone", "head"));
  EXPECT_EQ(Sum(one, &LayerSummary::multiply_adds), Sum(layers, &LayerSummary::multiply_adds));
}

TEST(Summarize, PrintsLayersTotalsAndMemory) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/summarized.pbtxt");
  ASSERT_TRUE(WriteFileAtomically(
                  path,
                  "model { backbone { lenet5 {} } neck { kind: NONE } head { num_classes: 10 } }\n"
                  "data { train { path: \"nowhere\" split: \"train\" batch_size: 4\n"
                  "  pipeline { resize { size: 32 } } pipeline { normalize {} } } }\n"
                  "optimizer { sgd { lr: 0.1 momentum: 0.9 } }\n"
                  "schedule { max_epochs: 2 constant {} }\n")
                  .ok());
  const absl::StatusOr<LoadedConfig> loaded = LoadConfig(path, {});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const absl::StatusOr<std::string> text = Summarize(*loaded, SummaryFlags());
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, HasSubstr("one image of 1x32x32; no data set at nowhere\n"));
  EXPECT_THAT(*text, HasSubstr("120x1x1"));
  EXPECT_THAT(*text, HasSubstr("61706 of 61706 parameters are trained (100.0 %)\n"));
  EXPECT_THAT(*text, HasSubstr("parameters 0.2 MiB, gradients 0.2 MiB, optimizer 0.2 MiB\n"));
  EXPECT_THAT(*text, HasSubstr("memory of one rank that trains with passes of 4 images: "));
  const absl::StatusOr<std::string> without = Summarize(*loaded, {.depth = 1, .memory = false});
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_THAT(*without, Not(HasSubstr("memory of one rank")));
}

}  // namespace
}  // namespace finetune
