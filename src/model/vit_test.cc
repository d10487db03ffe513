// Vision transformers: the names and forms of checkpoints that agreement_test.cc has no fixture of,
// drop path, bfloat16, and configs that are wrong.

#include "src/model/vit.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
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
#include "src/model/position_embedding.h"
#include "src/model/testing.h"

namespace finetune {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kWidth = 16;

// Returns a ModelConfig: two blocks, images of 32x32 and patches of 8x8, unless `more` overrides
// it.
std::string Config(const std::string& more = "", const std::string& backbone = "") {
  return absl::StrCat("backbone { vit { width: ", kWidth,
                      " depth: 2 heads: 2 patch_size: 8 image_size: 32 ", more, " } ", backbone,
                      " } head { num_classes: 3 }");
}

at::Tensor Images(int64_t n) { return ByFormula("images", {n, 3, 32, 32}, 2); }

using Renaming = std::vector<std::pair<std::string, std::string>>;

// Returns the model's tensors as a checkpoint, where `renaming` has replaced parts of their names.
StateDict CheckpointOf(const Classifier& model, const Renaming& renaming) {
  StateDict checkpoint;
  for (const NamedTensor& tensor : model.State()) {
    checkpoint.tensors.push_back(
        {absl::StrReplaceAll(tensor.name, renaming), tensor.tensor.detach().clone()});
  }
  return checkpoint;
}

at::Tensor* Find(const std::string& name, StateDict* checkpoint) {
  for (NamedTensor& tensor : checkpoint->tensors) {
    if (tensor.name == name) return &tensor.tensor;
  }
  ADD_FAILURE() << "the checkpoint has no " << name;
  return nullptr;
}

// DINOv2's names.
const Renaming kDinoV2 = {{"backbone.layers.", "blocks."},
                          {"backbone.patch_embed.projection", "patch_embed.proj"},
                          {"backbone.ln1", "norm"},
                          {"backbone.", ""},
                          {".ln1", ".norm1"},
                          {".ln2", ".norm2"},
                          {"attn.gamma1.weight", "ls1.gamma"},
                          {"ffn.layers.0.0", "mlp.fc1"},
                          {"ffn.layers.1", "mlp.fc2"},
                          {"ffn.gamma2.weight", "ls2.gamma"},
                          {"head.layers.head", "head"}};

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

TEST(VitTest, TakesTheNamesOfTorchvisionsPublishedFiles) {
  const auto model = MakeModel(Config());
  const StateDict checkpoint =
      CheckpointOf(*model, {{"backbone.layers.", "encoder.layers.encoder_layer_"},
                            {"backbone.patch_embed.projection", "conv_proj"},
                            {"backbone.pos_embed", "encoder.pos_embedding"},
                            {"backbone.cls_token", "class_token"},
                            {"backbone.ln1", "encoder.ln"},
                            {".ln1", ".ln_1"},
                            {".ln2", ".ln_2"},
                            {"attn.qkv.", "self_attention.in_proj_"},
                            {"attn.proj", "self_attention.out_proj"},
                            {"ffn.layers.0.0", "mlp.linear_1"},
                            {"ffn.layers.1", "mlp.linear_2"},
                            {"head.layers.head", "heads.head"}});
  EXPECT_THAT(ExpectSameLogits(checkpoint, Config(), model.get()).notes, IsEmpty());
}

TEST(VitTest, JoinsQueriesKeysAndValuesOfTransformers) {
  const std::string config = Config("layer_scale: 1");
  const auto model = MakeModel(config);
  const Renaming common = {{"backbone.pos_embed", "dinov2.embeddings.position_embeddings"},
                           {"backbone.cls_token", "dinov2.embeddings.cls_token"},
                           {"backbone.patch_embed.", "dinov2.embeddings.patch_embeddings."},
                           {"backbone.layers.", "dinov2.encoder.layer."},
                           {"backbone.ln1", "dinov2.layernorm"},
                           {"attn.proj", "attention.output.dense"},
                           {"attn.gamma1.weight", "layer_scale1.lambda1"},
                           {"ffn.gamma2.weight", "layer_scale2.lambda1"},
                           {".ln1", ".norm1"},
                           {".ln2", ".norm2"},
                           {"ffn.layers.0.0", "mlp.fc1"},
                           {"ffn.layers.1", "mlp.fc2"},
                           {"head.layers.head", "classifier"}};
  StateDict checkpoint;
  for (const NamedTensor& tensor : CheckpointOf(*model, common).tensors) {
    if (!absl::StrContains(tensor.name, "attn.qkv")) {
      checkpoint.tensors.push_back(tensor);
      continue;
    }
    const std::vector<at::Tensor> parts = tensor.tensor.chunk(3);
    for (const auto& [i, part] :
         {std::pair(0, "query"), std::pair(1, "key"), std::pair(2, "value")}) {
      checkpoint.tensors.push_back(
          {absl::StrReplaceAll(tensor.name,
                               {{"attn.qkv", absl::StrCat("attention.attention.", part)}}),
           parts[i]});
    }
  }
  ExpectSameLogits(checkpoint, config, model.get());
}

TEST(VitTest, TakesDinoV2WithRegistersAndLeavesItsMaskTokenOut) {
  const std::string config = Config("layer_scale: 1 registers: 2");
  const auto model = MakeModel(config);
  StateDict checkpoint = CheckpointOf(*model, kDinoV2);
  checkpoint.tensors.push_back({"mask_token", ByFormula("mask", {1, kWidth}, 1)});
  EXPECT_THAT(ExpectSameLogits(checkpoint, config, model.get()).notes, IsEmpty());

  // Position embeddings for 7x7 patches are resampled as DINOv2 does for networks with registers.
  at::Tensor* const positions = Find("pos_embed", &checkpoint);
  *positions = ByFormula("positions", {1, 1 + 49, kWidth}, 1);
  const absl::StatusOr<LoadReport> report = LoadClassifier(checkpoint, {}, model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(
      report->notes,
      ElementsAre("backbone.pos_embed: the position embeddings are resampled from 7x7 to 4x4 "
                  "patches as in DINOv2 with registers (bicubic with antialias)"));
  EXPECT_TRUE(at::equal(Named(*model, "backbone.pos_embed"),
                        ResamplePositions(*positions, 4, PositionSource::kDinoV2WithRegisters)));
}

TEST(VitTest, ResamplesInTheWayOfThePackageWhoseNamesTheCheckpointHas) {
  const auto model = MakeModel(Config());
  const at::Tensor positions = ByFormula("positions", {1, 1 + 9, kWidth}, 1);
  const auto note = [&](StateDict checkpoint, const std::string& name) {
    *Find(name, &checkpoint) = positions;
    const absl::StatusOr<LoadReport> report = LoadClassifier(checkpoint, {}, model.get());
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? testing::PrintToString(report->notes) : "";
  };
  StateDict dino = CheckpointOf(*model, kDinoV2);
  EXPECT_THAT(note(dino, "pos_embed"),
              HasSubstr("from 3x3 to 4x4 patches as in timm (bicubic with"));
  dino.tensors.push_back({"mask_token", ByFormula("mask", {1, kWidth}, 1)});
  EXPECT_THAT(note(dino, "pos_embed"), HasSubstr("as in DINOv2 (bicubic, scaled"));
  EXPECT_THAT(note(CheckpointOf(*model, {}), "backbone.pos_embed"),
              HasSubstr("as in mmpretrain (bicubic)"));
}

TEST(VitTest, KeepsTheClassTokensVectorAndPutsZeroWhereThereIsNone) {
  const at::Tensor patches = ByFormula("positions", {1, 36, kWidth}, 1);
  const at::Tensor of_class = ByFormula("class", {1, 1, kWidth}, 1);
  for (const PositionSource source :
       {PositionSource::kMmpretrain, PositionSource::kTimm, PositionSource::kTorchvision,
        PositionSource::kDinoV2, PositionSource::kDinoV2WithRegisters}) {
    const at::Tensor with = ResamplePositions(at::cat({of_class, patches}, 1), 4, source);
    const at::Tensor without = ResamplePositions(patches, 4, source);
    EXPECT_THAT(with.sizes(), ElementsAre(1, 17, kWidth));
    EXPECT_TRUE(at::equal(with.slice(1, 0, 1), of_class));
    EXPECT_EQ(without.slice(1, 0, 1).abs().max().item<float>(), 0);
    EXPECT_TRUE(at::equal(with.slice(1, 1), without.slice(1, 1)));
  }
}

TEST(VitTest, LeavesPositionsAloneThatAreNotOfASquareOfPatches) {
  // Such as those of a distilled DeiT, which has a second class token.
  EXPECT_EQ(PositionSide(ByFormula("p", {1, 2 + 16, kWidth}, 1)), 0);
  EXPECT_EQ(PositionSide(ByFormula("p", {1, 1, kWidth}, 1)), 1);
  EXPECT_EQ(PositionSide(ByFormula("p", {2, 16, kWidth}, 1)), 0);
  EXPECT_EQ(PositionSide(ByFormula("p", {16, kWidth}, 1)), 0);
  const auto model = MakeModel(Config());
  StateDict distilled = CheckpointOf(*model, kDinoV2);
  *Find("pos_embed", &distilled) = ByFormula("p", {1, 2 + 16, kWidth}, 1);
  distilled.tensors.push_back({"dist_token", ByFormula("dist", {1, 1, kWidth}, 1)});
  EXPECT_THAT(std::string(LoadClassifier(distilled, {}, model.get()).status().message()),
              AllOf(HasSubstr("backbone.pos_embed: [1, 18, 16] in the checkpoint, [1, 17, 16] in"),
                    HasSubstr("not used: dist_token")));
}

TEST(VitTest, DoesNotConvertTheCheckpointOfAResumedRun) {
  const auto model = MakeModel(Config());
  StateDict other = CheckpointOf(*model, {});
  *Find("backbone.pos_embed", &other) = ByFormula("p", {1, 1 + 9, kWidth}, 1);
  EXPECT_THAT(std::string(LoadResumed(other, model.get()).status().message()),
              HasSubstr("backbone.pos_embed: [1, 10, 16] in the checkpoint"));
}

TEST(VitTest, GivesTheFinalNormToTheOtherPooling) {
  const auto by_token = MakeModel(Config()), by_mean = MakeModel(Config("pooling: MEAN"));
  const absl::StatusOr<LoadReport> to_mean =
      LoadClassifier(CheckpointOf(*by_token, kDinoV2), {}, by_mean.get());
  ASSERT_TRUE(to_mean.ok()) << to_mean.status();
  EXPECT_THAT(to_mean->notes, ElementsAre(HasSubstr("now follows the mean over the patches")));
  EXPECT_TRUE(
      at::equal(Named(*by_mean, "backbone.ln2.bias"), Named(*by_token, "backbone.ln1.bias")));
  const absl::StatusOr<LoadReport> to_token =
      LoadClassifier(CheckpointOf(*by_mean, {}), {}, by_token.get());
  ASSERT_TRUE(to_token.ok()) << to_token.status();
  EXPECT_THAT(to_token->notes, ElementsAre(HasSubstr("is now that of the class token")));
}

TEST(VitTest, TakesTheHeadOfEitherName) {
  const auto model = MakeModel(Config());
  ExpectSameLogits(CheckpointOf(*model, {{"head.layers.head", "head.fc"}}), Config(), model.get());
}

TEST(VitTest, DropPathDrawsByIterationAndImageAndOnlyInTraining) {
  const auto model = MakeModel(Config("drop_path: 0.5"));
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
  EXPECT_TRUE(at::equal(run(0, 0, 4), whole));
  bool differs = false;
  for (int64_t iteration = 1; iteration < 8; ++iteration) {
    differs |= RelativeError(run(iteration, 0, 4), whole) > 1e-3;
  }
  EXPECT_TRUE(differs) << "the draws do not depend on the iteration";
  const auto without = MakeModel(Config());
  EXPECT_TRUE(
      at::equal(model->Forward(images, kEvaluation), without->Forward(images, kEvaluation)));
}

TEST(VitTest, TakesBatchesWithoutImages) {
  const auto model = MakeModel(Config());
  EXPECT_THAT(model->Forward(Images(0), kEvaluation).sizes(), ElementsAre(0, 3));
  model->Forward(Images(0), kTraining).sum().backward();
}

TEST(VitTest, TrainsInBfloat16WithGradientsInFloat32) {
  for (const char* more : {"", "pooling: MEAN layer_scale: 0.1 registers: 2"}) {
    ExpectBfloat16TrainsWithFloat32Gradients(Config(more, "frozen_stages: 1"), Images(8));
  }
}

TEST(VitTest, DecaysOnlyTheWeightsOfLayersAndGivesTheFinalNormTheHeadsRate) {
  const auto model = MakeModel(Config("registers: 2 layer_scale: 1"));
  std::vector<std::string> weights;
  for (size_t i = 0; i < model->parameters().size(); ++i) {
    const std::string& name = model->parameters()[i].name;
    if (!absl::StartsWith(name, "backbone.layers.1.") && model->IsLayersWeight(i)) {
      weights.push_back(name);
    }
    if (absl::StartsWith(name, "backbone.ln1.")) {
      EXPECT_EQ(model->PartsBehind(i), 0) << name;
    }
    if (name == "backbone.pos_embed") {
      EXPECT_EQ(model->PartsBehind(i), 3);
    }
  }
  EXPECT_THAT(
      weights,
      ElementsAre("backbone.patch_embed.projection.weight", "backbone.layers.0.attn.qkv.weight",
                  "backbone.layers.0.attn.proj.weight", "backbone.layers.0.ffn.layers.0.0.weight",
                  "backbone.layers.0.ffn.layers.1.weight", "head.layers.head.weight"));
}

TEST(VitTest, SaysHowToTakeImagesOfAnotherSize) {
  const auto model = MakeModel(Config());
  EXPECT_EQ(
      model->CheckInput(3, 48, 48).message(),
      "found images of 48x48 with 3 channels; ViT-16/8 takes images of 32x32 with 3 channels; "
      "end the pipeline with a resize or crop to size 32, or set "
      "model.backbone.vit.image_size to 48");
  EXPECT_EQ(
      model->CheckInput(3, 48, 40).message(),
      "found images of 48x40 with 3 channels; ViT-16/8 takes images of 32x32 with 3 channels; "
      "end the pipeline with a resize or crop to size 32");
}

TEST(VitTest, RefusesSizesThatNoNetworkHas) {
  const auto error = [](const std::string& vit) {
    ModelConfig config;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        absl::StrCat("backbone { vit { ", vit, " } } head { num_classes: 3 }"), &config));
    return std::string(Classifier::Create(config, {}).status().message());
  };
  EXPECT_EQ(error("patch_size: 14 image_size: 32"),
            "model.backbone.vit.image_size: is 32; expected a multiple of patch_size (14)");
  EXPECT_EQ(
      error("heads: 5"),
      "model.backbone.vit.heads: gives 5 heads and a width of 384; expected a width that is a "
      "multiple of the heads");
  EXPECT_EQ(error("image_size: 8192"),
            "model.backbone.vit.image_size: is 8192; expected at most 4096: 256 patches of 16 on a "
            "side");
  EXPECT_THAT(error("depth: 0"), HasSubstr("model.backbone.vit.depth: is 0; expected 1 to 1024"));
  EXPECT_THAT(error("drop_path: 1"), HasSubstr("model.backbone.vit.drop_path: is 1"));
  EXPECT_THAT(error("layer_scale: -1"), HasSubstr("model.backbone.vit.layer_scale: is -1"));
  EXPECT_THAT(error("registers: -1"), HasSubstr("model.backbone.vit.registers: is -1"));
}

}  // namespace
}  // namespace finetune
