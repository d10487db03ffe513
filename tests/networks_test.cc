// Runs the programs as a user does, for networks other than a plain ResNet. Tests that any number
// of ranks computes the same, that bfloat16 trains, and that plan and summary know the network.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;

struct Network {
  const char* name;
  const char* config;  // the field of model.backbone
  const char* layer;   // the name of the last stage in the output of `summary`
};

class NetworksTest : public TrainingTest, public testing::WithParamInterface<Network> {
 protected:
  void SetUp() override {
    TrainingTest::SetUp();
    WriteResNet();
  }
  // The flags of every run. The images are 32x32, so the last feature maps are 1x1, and a training
  // pass needs at least two images.
  static std::string Flags() {
    return absl::StrCat("--set='model.backbone.", GetParam().config,
                        "' --set=optimizer.sgd.lr=0.002 --max_iterations=4 ");
  }
};

TEST_P(NetworksTest, TwoRanksComputeAsOne) {
  // With a larger learning rate, rounding errors would grow from iteration to iteration. The
  // max_norm is never reached; it only makes the records contain the gradients' norm.
  const std::string flags = Flags() +
                            "--set=comm.sync_batch_norm=true --set=optimizer.sgd.lr=1e-6 "
                            "--set='optimizer.clip_gradient={max_norm:1e9}' ";
  TrainToEnd(1, "one", flags);
  TrainToEnd(2, "two", flags);
  const auto one = Losses("one"), two = Losses("two");
  ASSERT_EQ(one.size(), 4u);
  for (const auto& [iteration, loss] : one) {
    EXPECT_NEAR(two.at(iteration), loss, 1e-3 * loss) << iteration;
  }
  const auto norms = [&](const std::string& run) {
    std::vector<double> found;
    for (const auto& record : Records(run)) {
      if (record.contains("gradient_norm")) found.push_back(record["gradient_norm"]);
    }
    return found;
  };
  const std::vector<double> of_one = norms("one"), of_two = norms("two");
  ASSERT_EQ(of_one.size(), 4u);
  ASSERT_EQ(of_two.size(), 4u);
  // Two ranks round differently. That moves a few inputs of ReLU6 over its edge, and one of the 16
  // values that a channel has on a 1x1 map then changes the norm by up to 9 %. A gradient that was
  // not averaged would be wrong by a factor of 2.
  for (size_t i = 0; i < of_one.size(); ++i) {
    EXPECT_NEAR(of_two[i], of_one[i], 0.2 * of_one[i]) << i;
  }
}

TEST_P(NetworksTest, TrainsInBfloat16AndEvaluates) {
  TrainToEnd(2, "bfloat16", Flags() + "--set=runtime.precision=BFLOAT16 ");
  TrainToEnd(2, "float32", Flags());
  const double expected = Losses("float32").at(1);
  EXPECT_NEAR(Losses("bfloat16").at(1), expected, 0.05 * expected);
  const Outcome evaluated =
      Run(absl::StrCat(finetune_, " evaluate --config=", folder_,
                       "/bfloat16/config.pbtxt --checkpoint=", folder_, "/bfloat16/latest.pth"));
  EXPECT_EQ(evaluated.exit_code, 0) << evaluated.output;
}

TEST_P(NetworksTest, PlanAndSummaryKnowIt) {
  const std::string model = absl::StrCat(" --config=", config(), " --set='model.backbone.",
                                         GetParam().config, "' --set=runtime.threads=1 ");
  const Outcome summary = Run(absl::StrCat(finetune_, " summary", model));
  EXPECT_EQ(summary.exit_code, 0) << summary.output;
  EXPECT_THAT(summary.output, HasSubstr(GetParam().layer));
  const Outcome plan = Run(absl::StrCat(finetune_, " plan --ranks=1,2 --measure=1", model));
  EXPECT_EQ(plan.exit_code, 0) << plan.output;
}

INSTANTIATE_TEST_SUITE_P(
    Networks, NetworksTest,
    testing::Values(
        Network{"MobileNetV2", "mobilenet_v2={width:0.25}", "backbone.layer7"},
        Network{"MobileNetV3Large", "mobilenet_v3={}", "head.layers"},
        Network{"MobileNetV3Small", "mobilenet_v3={variant:SMALL}", "head.layers"},
        Network{"ConvNeXtAtto", "convnext={variant:ATTO drop_path:0.2}", "backbone.norm3"},
        Network{"ConvNeXtV2Atto", "convnext={variant:ATTO version:V2 drop_path:0.2}",
                "backbone.norm3"},
        Network{"SeResNeXt50D",
                "resnet={depth:50 base_channels:16 groups:4 width_per_group:16 stem:DEEP "
                "avg_down:true se_ratio:16 drop_path:0.2}",
                "backbone.layer4"},
        Network{"Vgg11", "vgg={depth:11 hidden_features:64 hidden_dropout:0.5}",
                "backbone.classifier"},
        Network{"EfficientNetB0", "efficientnet={drop_path:0.2}", "backbone.layers"},
        Network{"EfficientNetV2B0", "efficientnet_v2={variant:BASE_0 drop_path:0.2}",
                "backbone.layers"},
        Network{"DenseNet121", "densenet={}", "backbone.transitions"},
        Network{"EfficientNetLite0", "efficientnet_lite={drop_path:0.2}", "backbone._blocks"},
        Network{"Vit",
                "vit={width:32 depth:2 heads:4 patch_size:8 image_size:32 drop_path:0.2 "
                "layer_scale:1}",
                "backbone.layers"},
        Network{"Swin", "swin={width:32 window_size:4 drop_path:0.2}", "backbone.norm3"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace finetune
