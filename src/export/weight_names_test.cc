#include "src/export/weight_names.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/test_folder.h"
#include "src/checkpoint/reader.h"
#include "src/checkpoint/safetensors_writer.h"
#include "src/checkpoint/writer.h"
#include "src/model/load.h"
#include "src/model/testing.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;

constexpr char kHead[] = " } head { num_classes: 3 }";

ModelConfig ConfigOf(const std::string& backbone) {
  ModelConfig config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      absl::StrCat("backbone { ", backbone, kHead), &config));
  return config;
}

std::unique_ptr<Classifier> ModelOf(const std::string& backbone) {
  return MakeModel(absl::StrCat("backbone { ", backbone, kHead));
}

std::set<std::string> NamesOf(const std::string& backbone, WeightNames names) {
  const absl::StatusOr<RenamedState> state =
      RenameState(*ModelOf(backbone), ConfigOf(backbone), names);
  EXPECT_TRUE(state.ok()) << state.status();
  std::set<std::string> found;
  for (const NamedTensor& one : state.value_or(RenamedState()).tensors) found.insert(one.name);
  return found;
}

struct Case {
  const char* backbone;
  WeightNames names;
};

class RenameStateTest : public ::testing::TestWithParam<Case> {};

// Writes a model under a package's names and reads it back. Each tensor has values of its own, so
// that a swap of two tensors shows.
TEST_P(RenameStateTest, ReadersTakeTheFilesOfEveryPackage) {
  const auto& [backbone, names] = GetParam();
  const auto model = ModelOf(backbone);
  const absl::StatusOr<RenamedState> state = RenameState(*model, ConfigOf(backbone), names);
  ASSERT_TRUE(state.ok()) << state.status();
  std::set<std::string> unique;
  for (const NamedTensor& one : state->tensors) unique.insert(one.name);
  EXPECT_EQ(unique.size(), state->tensors.size());
  const std::string folder = EmptyTestFolder();
  ASSERT_TRUE(WriteTorchFile(folder + "/a.pth", Value::FromTensors(state->tensors)).ok());
  ASSERT_TRUE(WriteSafetensors(folder + "/a.safetensors", state->tensors, {}).ok());
  for (const char* file : {"/a.pth", "/a.safetensors"}) {
    const absl::StatusOr<StateDict> read = ReadStateDict(folder + file);
    ASSERT_TRUE(read.ok()) << read.status();
    const auto other = ModelOf(backbone);
    for (const NamedTensor& one : other->State()) one.tensor.detach().zero_();
    const absl::StatusOr<LoadReport> report = LoadClassifier(*read, {}, other.get());
    ASSERT_TRUE(report.ok()) << report.status();
    const TensorList expected = model->State(), actual = other->State();
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_TRUE(actual[i].tensor.equal(expected[i].tensor)) << expected[i].name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Networks, RenameStateTest,
    ::testing::Values(
        Case{"resnet { depth: 18 }", WeightNames::kTorchvision},
        Case{"resnet { depth: 18 }", WeightNames::kTimm},
        Case{"resnet { depth: 18 }", WeightNames::kMmpretrain},
        Case{"resnet { depth: 18 }", WeightNames::kFinetune},
        Case{"resnet { depth: 50 groups: 32 width_per_group: 4 }", WeightNames::kTorchvision},
        Case{"resnet { depth: 50 width_per_group: 128 }", WeightNames::kMmpretrain},
        Case{"resnet { depth: 50 stem: DEEP avg_down: true se_ratio: 16 }", WeightNames::kTimm},
        Case{"resnet { depth: 50 stem: DEEP avg_down: true se_ratio: 16 }",
             WeightNames::kMmpretrain},
        Case{"mobilenet_v2 { width: 0.35 }", WeightNames::kTorchvision},
        Case{"mobilenet_v2 { width: 0.35 }", WeightNames::kTimm},
        Case{"mobilenet_v2 { width: 0.35 }", WeightNames::kMmpretrain},
        Case{"regnet {}", WeightNames::kTimm},
        Case{"regnet { variant: Y_400MF }", WeightNames::kTorchvision},
        Case{"regnet { variant: X_400MF }", WeightNames::kMmpretrain},
        Case{"vgg { depth: 11 hidden_features: 0 }", WeightNames::kMmpretrain},
        Case{"densenet {}", WeightNames::kTorchvision}, Case{"densenet {}", WeightNames::kTimm},
        Case{"densenet {}", WeightNames::kMmpretrain},
        Case{"convnext {}", WeightNames::kTorchvision},
        Case{"convnext { variant: ATTO }", WeightNames::kTimm},
        Case{"convnext { variant: ATTO }", WeightNames::kMmpretrain},
        Case{"convnext { variant: ATTO version: V2 }", WeightNames::kTimm},
        Case{"convnext { variant: ATTO version: V2 }", WeightNames::kMmpretrain},
        Case{"vit { variant: TINY }", WeightNames::kTimm},
        Case{"vit { variant: TINY pooling: MEAN qkv_bias: false }", WeightNames::kTimm},
        Case{"vit { variant: TINY layer_scale: 1e-5 }", WeightNames::kTimm},
        Case{"vit { variant: TINY patch_size: 14 layer_scale: 1e-5 }", WeightNames::kMmpretrain},
        Case{"swin {}", WeightNames::kTorchvision}, Case{"swin {}", WeightNames::kTimm},
        Case{"swin {}", WeightNames::kMmpretrain},
        Case{"swin { window_size: 5 }", WeightNames::kMmpretrain},
        Case{"efficientnet_lite {}", WeightNames::kFinetune},
        Case{"efficientnet_lite { origin: TENSORFLOW }", WeightNames::kTimm},
        Case{"efficientnet_lite { variant: 1 origin: PYTORCH }", WeightNames::kTimm},
        Case{"efficientnet { origin: PYTORCH }", WeightNames::kTorchvision},
        Case{"efficientnet { origin: PYTORCH }", WeightNames::kTimm},
        Case{"efficientnet { variant: 1 origin: TENSORFLOW }", WeightNames::kTimm},
        Case{"efficientnet { origin: TENSORFLOW }", WeightNames::kMmpretrain},
        Case{"mobilenet_v3 { origin: TORCHVISION }", WeightNames::kTorchvision},
        Case{"mobilenet_v3 { variant: SMALL origin: TORCHVISION }", WeightNames::kTorchvision},
        Case{"mobilenet_v3 { variant: SMALL origin: TORCHVISION }", WeightNames::kMmpretrain},
        Case{"mobilenet_v3 { origin: TIMM }", WeightNames::kTimm},
        Case{"mobilenet_v3 { variant: SMALL origin: TENSORFLOW }", WeightNames::kTimm},
        Case{"lenet5 {}", WeightNames::kMmpretrain}));

TEST(RenameState, GivesThePackagesNames) {
  const auto torchvision = NamesOf("mobilenet_v2 {}", WeightNames::kTorchvision);
  EXPECT_TRUE(torchvision.contains("features.18.1.running_mean"));
  EXPECT_TRUE(torchvision.contains("features.1.conv.0.0.weight"));
  EXPECT_TRUE(torchvision.contains("classifier.1.bias"));
  const auto timm = NamesOf("mobilenet_v2 {}", WeightNames::kTimm);
  EXPECT_TRUE(timm.contains("blocks.0.0.conv_dw.weight"));
  EXPECT_TRUE(timm.contains("classifier.bias"));
  const auto convnext = NamesOf("convnext {}", WeightNames::kTimm);
  EXPECT_TRUE(convnext.contains("stages.0.blocks.0.conv_dw.weight"));
  EXPECT_TRUE(convnext.contains("stages.3.blocks.2.gamma"));
  EXPECT_TRUE(convnext.contains("stages.1.downsample.0.weight"));
  EXPECT_TRUE(convnext.contains("head.norm.weight"));
  EXPECT_TRUE(convnext.contains("head.fc.weight"));
  EXPECT_TRUE(NamesOf("convnext { variant: ATTO version: V2 }", WeightNames::kTimm)
                  .contains("stages.0.blocks.0.mlp.grn.weight"));
  const auto densenet = NamesOf("densenet {}", WeightNames::kTorchvision);
  EXPECT_TRUE(densenet.contains("features.denseblock3.denselayer24.norm1.running_var"));
  EXPECT_TRUE(densenet.contains("features.transition3.conv.weight"));
  EXPECT_TRUE(densenet.contains("features.norm5.weight"));
  EXPECT_TRUE(densenet.contains("classifier.weight"));
  const auto vit = NamesOf("vit {}", WeightNames::kTimm);
  EXPECT_TRUE(vit.contains("cls_token"));
  EXPECT_TRUE(vit.contains("blocks.11.attn.qkv.weight"));
  EXPECT_TRUE(vit.contains("norm.bias"));
  EXPECT_TRUE(vit.contains("head.weight"));
  const auto vit_b = NamesOf("vit { variant: BASE }", WeightNames::kTorchvision);
  EXPECT_TRUE(vit_b.contains("encoder.pos_embedding"));
  EXPECT_TRUE(vit_b.contains("encoder.layers.encoder_layer_0.self_attention.in_proj_bias"));
  EXPECT_TRUE(vit_b.contains("encoder.layers.encoder_layer_11.mlp.3.weight"));
  EXPECT_TRUE(vit_b.contains("heads.head.weight"));
  const auto b0 = NamesOf("efficientnet { origin: PYTORCH }", WeightNames::kTorchvision);
  EXPECT_TRUE(b0.contains("features.0.0.weight"));
  EXPECT_TRUE(b0.contains("features.1.0.block.1.fc1.bias"));
  EXPECT_TRUE(b0.contains("features.8.1.running_var"));
  EXPECT_TRUE(b0.contains("classifier.1.weight"));
  const auto lite = NamesOf("efficientnet_lite {}", WeightNames::kTimm);
  EXPECT_TRUE(lite.contains("conv_stem.weight"));
  EXPECT_TRUE(lite.contains("blocks.6.0.conv_pwl.weight"));
  EXPECT_TRUE(lite.contains("bn2.running_mean"));
  EXPECT_TRUE(lite.contains("classifier.weight"));
  const auto v3 = NamesOf("mobilenet_v3 {}", WeightNames::kTorchvision);
  EXPECT_TRUE(v3.contains("features.16.0.weight"));
  EXPECT_TRUE(v3.contains("classifier.0.weight"));
  EXPECT_TRUE(v3.contains("classifier.3.bias"));
  const auto resnet = NamesOf("resnet { depth: 50 }", WeightNames::kTorchvision);
  EXPECT_TRUE(resnet.contains("layer1.0.downsample.1.num_batches_tracked"));
  EXPECT_TRUE(resnet.contains("fc.weight"));
  const auto deep =
      NamesOf("resnet { depth: 50 stem: DEEP avg_down: true se_ratio: 16 }", WeightNames::kTimm);
  // The batch norms of two shortcuts and of the stem, and the first layer of
  // squeeze-and-excitation.
  EXPECT_TRUE(deep.contains("layer1.0.downsample.2.weight"));
  EXPECT_TRUE(deep.contains("layer2.0.downsample.2.weight"));
  EXPECT_TRUE(deep.contains("bn1.weight"));
  EXPECT_TRUE(deep.contains("layer1.0.se.fc1.weight"));
}

TEST(RenameState, SaysHowThePackageMakesTheNetwork) {
  const auto network = [](const std::string& backbone, WeightNames names) {
    const auto state = RenameState(*ModelOf(backbone), ConfigOf(backbone), names);
    EXPECT_TRUE(state.ok()) << state.status();
    return state.ok() ? state->network : "";
  };
  const std::string next = "resnet { depth: 50 groups: 32 width_per_group: 4 }";
  EXPECT_EQ(network(next, WeightNames::kTorchvision),
            "torchvision.models.resnet50(groups=32, width_per_group=4, num_classes=3)");
  EXPECT_EQ(network(next, WeightNames::kTimm),
            "timm.create_model(\"resnet50\", cardinality=32, base_width=4, num_classes=3)");
  EXPECT_EQ(network(next, WeightNames::kMmpretrain),
            "mmpretrain's ResNeXt(depth=50, base_channels=64, stem_channels=64, groups=32, "
            "width_per_group=4, style=\"pytorch\")");
  EXPECT_EQ(network("resnet { depth: 50 width_per_group: 128 }", WeightNames::kMmpretrain),
            "mmpretrain's ResNet(depth=50, base_channels=128, stem_channels=64, expansion=2, "
            "style=\"pytorch\")");
  EXPECT_EQ(
      network("resnet { depth: 50 stem: DEEP avg_down: true se_ratio: 16 }", WeightNames::kTimm),
      "timm.create_model(\"resnet50\", stem_type=\"deep\", stem_width=32, avg_down=True, "
      "block_args=dict(attn_layer=\"se\"), num_classes=3)");
}

TEST(RenameState, GivesTheShapeThatTorchvisionsLayerScaleHas) {
  const absl::StatusOr<RenamedState> state =
      RenameState(*ModelOf("convnext {}"), ConfigOf("convnext {}"), WeightNames::kTorchvision);
  ASSERT_TRUE(state.ok()) << state.status();
  int scales = 0;
  for (const NamedTensor& one : state->tensors) {
    if (!absl::EndsWith(one.name, ".layer_scale")) continue;
    ++scales;
    EXPECT_EQ(one.tensor.sizes(), at::IntArrayRef({one.tensor.numel(), 1, 1})) << one.name;
  }
  EXPECT_EQ(scales, 3 + 3 + 9 + 3);
}

// timm's MobileNetV3 has a 1x1 convolution in place of the hidden linear layer.
TEST(RenameState, GivesTheShapeThatTimmsHiddenLayerHas) {
  const std::string backbone = "mobilenet_v3 { variant: SMALL origin: TIMM }";
  const absl::StatusOr<RenamedState> state =
      RenameState(*ModelOf(backbone), ConfigOf(backbone), WeightNames::kTimm);
  ASSERT_TRUE(state.ok()) << state.status();
  const auto found =
      std::find_if(state->tensors.begin(), state->tensors.end(),
                   [](const NamedTensor& one) { return one.name == "conv_head.weight"; });
  ASSERT_NE(found, state->tensors.end());
  EXPECT_EQ(found->tensor.sizes(), at::IntArrayRef({1024, 576, 1, 1}));
}

TEST(RenameState, GivesTheOrderAndTheBuffersThatThePackagesOfSwinHave) {
  const std::string backbone = "swin {}";
  const auto model = ModelOf(backbone);
  const auto as = [&](WeightNames names) {
    const auto state = RenameState(*model, ConfigOf(backbone), names);
    EXPECT_TRUE(state.ok()) << state.status();
    std::map<std::string, at::Tensor> tensors;
    for (const NamedTensor& one : state.value_or(RenamedState()).tensors) {
      tensors[one.name] = one.tensor;
    }
    return tensors;
  };
  const auto ours = as(WeightNames::kFinetune), mmpretrain = as(WeightNames::kMmpretrain);
  const auto torchvision = as(WeightNames::kTorchvision), timm = as(WeightNames::kTimm);
  // Only the packages whose load_state_dict() wants the buffers get them.
  EXPECT_EQ(timm.size(), ours.size());
  EXPECT_EQ(torchvision.size(), ours.size() + 12);
  EXPECT_EQ(mmpretrain.size(), ours.size() + 12);
  const at::Tensor& flat = torchvision.at("features.5.3.attn.relative_position_index");
  const at::Tensor& square =
      mmpretrain.at("backbone.stages.2.blocks.3.attn.w_msa.relative_position_index");
  EXPECT_EQ(flat.sizes(), at::IntArrayRef({2401}));
  EXPECT_EQ(square.sizes(), at::IntArrayRef({49, 49}));
  EXPECT_TRUE(flat.equal(square.flatten()));
  // The channels of the second patch of 2x2, which stands below the first one.
  const at::Tensor& reduction = ours.at("backbone.stages.0.downsample.reduction.weight");
  const at::Tensor below = reduction.slice(1, 2, 4 * 96, 4);
  EXPECT_TRUE(torchvision.at("features.2.reduction.weight").slice(1, 96, 2 * 96).equal(below));
  EXPECT_TRUE(timm.at("layers.1.downsample.reduction.weight").slice(1, 96, 2 * 96).equal(below));
}

TEST(RenameState, RefusesNetworksThatThePackageLacks) {
  const auto refusal = [](const std::string& backbone, WeightNames names) {
    const absl::Status status = RenameState(*ModelOf(backbone), ConfigOf(backbone), names).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(refusal("resnet { depth: 18 stem: CIFAR }", WeightNames::kTorchvision),
              HasSubstr("found torchvision, which does not have the network of model.backbone { "
                        "resnet { depth: 18 stem: CIFAR } }; expected finetune or mmpretrain"));
  EXPECT_THAT(refusal("mobilenet_v2 { width: 0.3 }", WeightNames::kTimm), HasSubstr("found timm"));
  EXPECT_THAT(refusal("convnext { version: V2 }", WeightNames::kTorchvision),
              HasSubstr("expected finetune or mmpretrain or timm"));
  EXPECT_THAT(refusal("vit {}", WeightNames::kTorchvision),
              HasSubstr("expected finetune or mmpretrain or timm"));
  EXPECT_THAT(refusal("vit { registers: 4 }", WeightNames::kTimm), HasSubstr("expected finetune"));
  EXPECT_THAT(refusal("swin { window_size: 5 }", WeightNames::kTorchvision),
              HasSubstr("expected finetune or mmpretrain"));
  EXPECT_THAT(refusal("swin { width: 32 }", WeightNames::kTimm), HasSubstr("expected finetune"));
  EXPECT_THAT(refusal("efficientnet_lite {}", WeightNames::kMmpretrain),
              HasSubstr("expected finetune or timm"));
  // The same layers compute something else with another padding.
  EXPECT_THAT(refusal("efficientnet { origin: TENSORFLOW }", WeightNames::kTorchvision),
              HasSubstr("expected finetune or timm or mmpretrain"));
  EXPECT_THAT(refusal("mobilenet_v3 { origin: TORCHVISION }", WeightNames::kTimm),
              HasSubstr("expected finetune or torchvision or mmpretrain"));
}

TEST(ParseWeightNames, RefusesOtherNames) {
  EXPECT_EQ(*ParseWeightNames("timm"), WeightNames::kTimm);
  EXPECT_THAT(
      ParseWeightNames("keras").status().message(),
      HasSubstr("found \"keras\"; expected one of finetune, torchvision, timm, mmpretrain"));
}

}  // namespace
}  // namespace finetune
