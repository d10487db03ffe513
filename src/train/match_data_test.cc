#include "src/train/match_data.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/testing/from_text.h"

namespace finetune {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The mean and std of ImageNet, TensorFlow's EfficientNet-Lite, the preset INCEPTION and CIFAR-10.
PixelStatistics Imagenet() { return {{123.675, 116.28, 103.53}, {58.395, 57.12, 57.375}}; }
PixelStatistics TensorFlowLite() { return {{127, 127, 127}, {128, 128, 128}}; }
PixelStatistics Inception() { return {{127.5, 127.5, 127.5}, {127.5, 127.5, 127.5}}; }
PixelStatistics Cifar() { return {{125.307, 122.961, 113.8575}, {51.5865, 50.847, 51.255}}; }

StatisticsReport Compare(const PixelStatistics& used, const std::string& backbone,
                         const std::optional<PixelStatistics>& own = std::nullopt) {
  const auto config =
      FromText<ModelConfig>("backbone { " + backbone + " } head { num_classes: 2 }");
  absl::StatusOr<std::unique_ptr<Classifier>> model =
      Classifier::Create(config, ClassifierOptions());
  EXPECT_TRUE(model.ok()) << model.status();
  return ComparePretrained(used, "weights.pth", own, **model);
}

TEST(ComparePretrained, WarnsOfAnotherNormalizationThanTheNetworksUsualOne) {
  const std::string resnet = "resnet { depth: 18 base_channels: 8 }", lite = "efficientnet_lite {}";
  EXPECT_THAT(Compare(TensorFlowLite(), resnet).warning,
              AllOf(HasSubstr("images are normalised by mean [127, 127, 127]"),
                    HasSubstr("published weights of ResNet-18 were trained with mean [123.7"),
                    HasSubstr("normalize { preset: IMAGENET }")));
  EXPECT_THAT(Compare(Imagenet(), lite).warning, HasSubstr("trained with mean [127,"));
  EXPECT_THAT(Compare(Inception(), "mobilenet_v2 { width: 0.35 }").warning, HasSubstr("[123.7"));
}

TEST(ComparePretrained, IsSilentOnTheUsualNormalization) {
  for (const auto& [used, backbone] :
       {std::pair(Imagenet(), "resnet { depth: 18 base_channels: 8 }"),
        std::pair(Imagenet(), "mobilenet_v2 { width: 0.35 }"),
        std::pair(TensorFlowLite(), "efficientnet_lite {}"),
        // The preset INCEPTION (127.5, 127.5) and TensorFlow's mean 127 and std 128 differ only by
        // rounding.
        std::pair(Inception(), "efficientnet_lite {}")}) {
    const StatisticsReport report = Compare(used, backbone);
    EXPECT_THAT(report.warning, IsEmpty()) << backbone;
    EXPECT_THAT(report.note, IsEmpty()) << backbone;
  }
}

TEST(ComparePretrained, NotesASmallDifference) {
  const StatisticsReport report = Compare(Cifar(), "resnet { depth: 18 base_channels: 8 }");
  EXPECT_THAT(report.warning, IsEmpty());
  EXPECT_THAT(report.note, HasSubstr("normalised by mean [125.3"));
}

TEST(ComparePretrained, BelievesTheCheckpointBeforeTheFamily) {
  const std::string lite = "efficientnet_lite {}";
  EXPECT_THAT(Compare(Imagenet(), lite, Imagenet()).warning, IsEmpty());
  EXPECT_THAT(Compare(TensorFlowLite(), lite, Imagenet()).warning,
              HasSubstr("the weights in weights.pth were trained with mean [123.7"));
}

TEST(ComparePretrained, SaysNothingWhereNothingIsKnown) {
  for (const char* backbone : {"resnet { depth: 18 base_channels: 8 stem: CIFAR }",
                               "resnet { depth: 50 base_channels: 8 style: CAFFE }", "lenet5 {}"}) {
    const StatisticsReport report = Compare(TensorFlowLite(), backbone);
    EXPECT_THAT(report.warning, IsEmpty()) << backbone;
    EXPECT_THAT(report.note, IsEmpty()) << backbone;
  }
  // Pipeline::Check() warns of a pipeline without normalize {}.
  EXPECT_THAT(Compare({}, "resnet { depth: 18 base_channels: 8 }").warning, IsEmpty());
}

}  // namespace
}  // namespace finetune
