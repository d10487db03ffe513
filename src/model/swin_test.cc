// Swin transformers: the forms of other packages' weights that agreement_test.cc has no fixture of,
// drop path, bfloat16, and configs that are wrong.

#include "src/model/swin.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <google/protobuf/text_format.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/model/load.h"
#include "src/model/swin_weights.h"
#include "src/model/testing.h"

namespace finetune {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Returns a ModelConfig: a narrow Swin-T with windows of 2x2 patches, unless `more` overrides it.
std::string Config(const std::string& more = "window_size: 2", const std::string& backbone = "") {
  return absl::StrCat("backbone { swin { width: 32 ", more, " } ", backbone,
                      " } head { num_classes: 3 }");
}

at::Tensor Images(int64_t n) { return ByFormula("images", {n, 3, 64, 48}, 2); }

// Replaces parts of names. In these of timm and of the authors, patch merging is left out.
const std::vector<std::pair<std::string, std::string>> kTimm = {
    {"backbone.stages.", "layers."}, {"backbone.patch_embed.projection", "patch_embed.proj"},
    {"backbone.norm3", "norm"},      {"backbone.", ""},
    {"attn.w_msa", "attn"},          {"ffn.layers.0.0", "mlp.fc1"},
    {"ffn.layers.1", "mlp.fc2"}};

// Returns the model's tensors as a checkpoint of timm's, where stage `first_merging` has the first
// patch merging (timm: 1), or of the authors (0).
StateDict CheckpointOf(const Classifier& model, int first_merging) {
  StateDict checkpoint;
  for (const NamedTensor& one : model.State()) {
    std::string name = absl::StrReplaceAll(one.name, kTimm);
    at::Tensor tensor = one.tensor.detach().clone();
    for (int stage = 0; stage < 3; ++stage) {
      const std::string merging = absl::StrCat("layers.", stage, ".downsample");
      if (!absl::StartsWith(name, merging)) continue;
      name = absl::StrCat("layers.", stage + first_merging, ".downsample",
                          name.substr(merging.size()));
      tensor = FromUnfoldOrder(tensor);
      break;
    }
    checkpoint.tensors.push_back({std::move(name), std::move(tensor)});
  }
  return checkpoint;
}

// Loads the checkpoint into a model of this config and expects that it gives the logits of `from`.
LoadReport ExpectSameLogits(const StateDict& checkpoint, const std::string& config,
                            Classifier* from) {
  const auto model = MakeModel(config);
  for (const NamedTensor& tensor : model->State()) tensor.tensor.detach().zero_();
  const absl::StatusOr<LoadReport> report = LoadClassifier(checkpoint, {}, model.get());
  EXPECT_TRUE(report.ok()) << report.status();
  if (!report.ok()) return {};
  EXPECT_TRUE(
      at::equal(model->Forward(Images(2), kEvaluation), from->Forward(Images(2), kEvaluation)));
  return *report;
}

TEST(SwinWeights, TheIndexCountsDistancesDownThenAcross) {
  for (const int64_t side : {1, 2, 3, 7}) {
    const at::Tensor index = RelativePositionIndex(side);
    ASSERT_THAT(index.sizes(), ElementsAre(side * side, side * side));
    for (int64_t query = 0; query < side * side; ++query) {
      for (int64_t key = 0; key < side * side; ++key) {
        const int64_t down = query / side - key / side + side - 1;
        const int64_t across = query % side - key % side + side - 1;
        ASSERT_EQ(index[query][key].item<int64_t>(), down * (2 * side - 1) + across);
      }
    }
  }
}

TEST(SwinWeights, GivesEachPairOfPatchesItsRowOfTheTable) {
  const at::Tensor table = ByFormula("table", {25, 4}, 1);
  const at::Tensor expected =
      table.index_select(0, RelativePositionIndex(3).flatten()).t().reshape({4, 9, 9});
  EXPECT_TRUE(at::equal(BiasOfPairs(table, 3), expected));
}

TEST(SwinWeights, OrdersTheChannelsOfPatchMergingByChannelRowAndColumn) {
  constexpr int64_t kChannels = 5;
  const at::Tensor of_authors = at::arange(4 * kChannels);
  const at::Tensor ours = ToUnfoldOrder(of_authors);
  for (int64_t channel = 0; channel < kChannels; ++channel) {
    for (int64_t row = 0; row < 2; ++row) {
      for (int64_t column = 0; column < 2; ++column) {
        EXPECT_EQ(ours[4 * channel + 2 * row + column].item<int64_t>(),
                  (2 * column + row) * kChannels + channel);
      }
    }
  }
  EXPECT_TRUE(at::equal(FromUnfoldOrder(ours), of_authors));
  const at::Tensor weight = ByFormula("weight", {3, 4 * kChannels}, 1);
  EXPECT_TRUE(at::equal(FromUnfoldOrder(ToUnfoldOrder(weight)), weight));
}

TEST(SwinWeights, KnowsTheWindowOfATable) {
  EXPECT_EQ(WindowOfBiasTable(at::zeros({169, 3})), 7);
  EXPECT_EQ(WindowOfBiasTable(at::zeros({1, 3})), 1);
  EXPECT_EQ(WindowOfBiasTable(at::zeros({127 * 127, 1})), kMostWindow);
  EXPECT_EQ(WindowOfBiasTable(at::zeros({129 * 129, 1})), 0);
  EXPECT_EQ(WindowOfBiasTable(at::zeros({144, 3})), 0) << "the square of an even number";
  EXPECT_EQ(WindowOfBiasTable(at::zeros({170, 3})), 0);
  EXPECT_EQ(WindowOfBiasTable(at::zeros({0, 3})), 0);
  EXPECT_EQ(WindowOfBiasTable(at::zeros({169})), 0);
  EXPECT_EQ(WindowOfBiasTable(at::zeros({169, 3}, at::kLong)), 0);
}

TEST(SwinTest, TellsTheAuthorsPatchMergingsFromTimms) {
  const auto model = MakeModel(Config());
  for (const int first_merging : {0, 1}) {
    SCOPED_TRACE(first_merging);
    const LoadReport report =
        ExpectSameLogits(CheckpointOf(*model, first_merging), Config(), model.get());
    EXPECT_THAT(report.notes, IsEmpty());
    EXPECT_EQ(report.matched, model->State().size());
  }
}

TEST(SwinTest, TakesAndIgnoresTheBuffersThatFollowFromTheWindows) {
  const auto model = MakeModel(Config());
  StateDict checkpoint = CheckpointOf(*model, 0);
  checkpoint.tensors.push_back({"layers.0.blocks.1.attn_mask", at::zeros({12, 4, 4})});
  checkpoint.tensors.push_back(
      {"layers.0.blocks.0.attn.relative_position_index", RelativePositionIndex(2)});
  checkpoint.tensors.push_back(
      {"layers.3.blocks.0.attn.relative_position_index", RelativePositionIndex(2).flatten()});
  EXPECT_THAT(ExpectSameLogits(checkpoint, Config(), model.get()).unused, IsEmpty());
}

TEST(SwinTest, RefusesAnIndexOfOtherDistances) {
  const auto model = MakeModel(Config());
  for (const at::Tensor& wrong :
       {RelativePositionIndex(2).t().contiguous(), at::zeros({0}, at::kLong),
        at::zeros({3, 5}, at::kLong), at::zeros({4, 4})}) {
    StateDict checkpoint = CheckpointOf(*model, 1);
    checkpoint.tensors.push_back({"layers.0.blocks.0.attn.relative_position_index", wrong});
    EXPECT_THAT(std::string(LoadClassifier(checkpoint, {}, model.get()).status().message()),
                HasSubstr("1 not used: layers.0.blocks.0.attn.relative_position_index"));
  }
}

TEST(SwinTest, ResamplesTheBiasesOfOtherWindowsAndSaysSo) {
  const auto other = MakeModel(Config("window_size: 4")), model = MakeModel(Config());
  const std::string name = "backbone.stages.2.blocks.5.attn.w_msa.relative_position_bias_table";
  const absl::StatusOr<LoadReport> report =
      LoadClassifier(CheckpointOf(*other, 1), {}, model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->notes,
              ElementsAre("the relative position biases are resampled from windows of 4x4 patches "
                          "to 2x2 as in the authors' program (bicubic)"));
  EXPECT_TRUE(at::equal(Named(*model, name), ResampleBiasTable(Named(*other, name), 2)));
  // The bias of a patch for itself is in the middle of the map before and after.
  const at::Tensor ramp = at::arange(49, at::kFloat).unsqueeze(1);
  const at::Tensor wide = ResampleBiasTable(ramp, 5);
  EXPECT_EQ(wide.sizes(), at::IntArrayRef({81, 1}));
  EXPECT_NEAR(wide[40].item<float>(), 24, 1e-4) << "the middle of the map";
}

TEST(SwinTest, DoesNotConvertTheCheckpointOfAResumedRun) {
  const auto other = MakeModel(Config("window_size: 4")), model = MakeModel(Config());
  StateDict checkpoint;
  checkpoint.tensors = other->State();
  EXPECT_THAT(std::string(LoadResumed(checkpoint, model.get()).status().message()),
              HasSubstr("relative_position_bias_table: [49, 1] in the checkpoint, [9, 1] in"));
}

TEST(SwinTest, DropPathDrawsByIterationAndImageAndOnlyInTraining) {
  const auto model = MakeModel(Config("window_size: 2 drop_path: 0.5"));
  const std::vector<int64_t> indices = {7, 3, 12, 1};
  const at::Tensor images = Images(4);
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
  bool differs = false;
  for (int64_t iteration = 1; iteration < 8; ++iteration) {
    differs |= RelativeError(run(iteration, 0, 4), whole) > 1e-3;
  }
  EXPECT_TRUE(differs) << "the draws do not depend on the iteration";
  const auto without = MakeModel(Config());
  EXPECT_TRUE(
      at::equal(model->Forward(images, kEvaluation), without->Forward(images, kEvaluation)));
}

TEST(SwinTest, TakesBatchesWithoutImages) {
  const auto model = MakeModel(Config());
  EXPECT_THAT(model->Forward(Images(0), kEvaluation).sizes(), ElementsAre(0, 3));
  model->Forward(Images(0), kTraining).sum().backward();
}

TEST(SwinTest, TrainsInBfloat16WithGradientsInFloat32) {
  ExpectBfloat16TrainsWithFloat32Gradients(Config("window_size: 3", "frozen_stages: 1"), Images(4));
}

TEST(SwinTest, DecaysOnlyTheWeightsOfLayersAndGivesTheFinalNormTheHeadsRate) {
  const auto model = MakeModel(Config());
  std::vector<std::string> weights;
  for (size_t i = 0; i < model->parameters().size(); ++i) {
    const std::string& name = model->parameters()[i].name;
    const bool is_first = !absl::StartsWith(name, "backbone.stages.") ||
                          absl::StartsWith(name, "backbone.stages.0.blocks.0.") ||
                          absl::StartsWith(name, "backbone.stages.0.downsample.");
    if (is_first && model->IsLayersWeight(i)) weights.push_back(name);
    if (absl::StartsWith(name, "backbone.norm3.")) {
      EXPECT_EQ(model->PartsBehind(i), 0) << name;
    }
  }
  EXPECT_THAT(weights,
              ElementsAre("backbone.patch_embed.projection.weight",
                          "backbone.stages.0.blocks.0.attn.w_msa.qkv.weight",
                          "backbone.stages.0.blocks.0.attn.w_msa.proj.weight",
                          "backbone.stages.0.blocks.0.ffn.layers.0.0.weight",
                          "backbone.stages.0.blocks.0.ffn.layers.1.weight",
                          "backbone.stages.0.downsample.reduction.weight", "head.fc.weight"));
}

TEST(SwinTest, RefusesSizesThatNoNetworkHas) {
  const auto error = [](const std::string& swin) {
    ModelConfig config;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        absl::StrCat("backbone { swin { ", swin, " } } head { num_classes: 3 }"), &config));
    return std::string(Classifier::Create(config, {}).status().message());
  };
  EXPECT_EQ(error("width: 100"),
            "model.backbone.swin.width: is 100; expected a multiple of 32, the channels of an "
            "attention head");
  EXPECT_THAT(error("width: 0"), HasSubstr("model.backbone.swin.width: is 0; expected 32 to 4096"));
  EXPECT_THAT(error("window_size: 0"),
              HasSubstr("model.backbone.swin.window_size: is 0; expected 1 to 64"));
  EXPECT_THAT(error("window_size: 65 drop_path: 1"),
              AllOf(HasSubstr("model.backbone.swin.window_size: is 65"),
                    HasSubstr("model.backbone.swin.drop_path: is 1")));
}

}  // namespace
}  // namespace finetune
