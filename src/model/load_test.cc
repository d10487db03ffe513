#include "src/model/load.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <google/protobuf/text_format.h>

#include <cmath>
#include <map>
#include <string>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/model/testing.h"

namespace finetune {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kResNet[] =
    "backbone { resnet { depth: 18 base_channels: 4 } } head { num_classes: 3 }";
// The backbone's tensors: 20 convolutions, each with 1 weight and 5 tensors of its batch norm.
constexpr int kBackboneTensors = 20 * 6;

// Returns the state of a model of `config`, with other values than a new model's and each name
// passed through `rename`. A tensor whose new name is empty is left out.
template <typename Rename>
StateDict Checkpoint(const Rename& rename, const std::string& config = kResNet) {
  StateDict state;
  for (const NamedTensor& tensor : MakeModel(config)->State()) {
    std::string name = rename(tensor.name);
    if (!name.empty()) state.tensors.push_back({std::move(name), tensor.tensor.detach() + 1});
  }
  return state;
}

PretrainedConfig Pretrained(const std::string& text) {
  PretrainedConfig config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
  return config;
}

absl::StatusOr<LoadReport> LoadBackbone(const StateDict& checkpoint, const std::string& prefix,
                                        Classifier* model) {
  PretrainedConfig config;
  config.set_prefix(prefix);
  return LoadPretrained(checkpoint, config, model);
}

std::string ErrorOf(const absl::StatusOr<LoadReport>& report) {
  EXPECT_FALSE(report.ok());
  return std::string(report.status().message());
}

// Returns the checkpoint's tensor of this name.
at::Tensor& Tensor(StateDict* checkpoint, const std::string& name) {
  for (NamedTensor& one : checkpoint->tensors) {
    if (one.name == name) return one.tensor;
  }
  ADD_FAILURE() << name;
  return checkpoint->tensors.front().tensor;
}

std::string Same(const std::string& name) { return name; }

// Returns torchvision's name for a tensor of the model.
std::string Torchvision(absl::string_view name) {
  if (absl::ConsumePrefix(&name, "backbone.") || absl::ConsumePrefix(&name, "head.")) {
    return std::string{name};
  }
  return "?";
}

bool IsLoaded(const Classifier& model, const std::string& name) {
  const at::Tensor expected = Named(*MakeModel(kResNet), name) + 1;
  return at::equal(Named(model, name), expected);
}

void ExpectUntouched(const Classifier& model) {
  const std::unique_ptr<Classifier> fresh = MakeModel(kResNet);
  for (const NamedTensor& tensor : fresh->State()) {
    EXPECT_TRUE(at::equal(Named(model, tensor.name), tensor.tensor)) << tensor.name;
  }
}

TEST(LoadBackbone, TakesTheBackboneBelowThePrefixAndLeavesTheHead) {
  const auto model = MakeModel(kResNet);
  const auto report = LoadBackbone(Checkpoint(Same), "backbone", model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->matched, kBackboneTensors);
  EXPECT_THAT(report->missing, IsEmpty());
  EXPECT_THAT(report->unused, IsEmpty());
  EXPECT_TRUE(IsLoaded(*model, "backbone.conv1.weight"));
  EXPECT_TRUE(IsLoaded(*model, "backbone.layer4.1.bn2.running_var"));
  EXPECT_TRUE(IsLoaded(*model, "backbone.layer4.1.bn2.num_batches_tracked"));
  EXPECT_FALSE(IsLoaded(*model, "head.fc.weight"));
}

TEST(LoadBackbone, TakesTorchvisionsNamesWithoutPrefixWhateverTheNumberOfClasses) {
  const auto model = MakeModel(kResNet);
  const auto report = LoadBackbone(
      Checkpoint(Torchvision,
                 "backbone { resnet { depth: 18 base_channels: 4 } } head { num_classes: 1000 }"),
      "", model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->Summary(), "120 tensors matched");
  EXPECT_TRUE(IsLoaded(*model, "backbone.layer2.0.downsample.0.weight"));
  EXPECT_FALSE(IsLoaded(*model, "head.fc.weight"));
}

TEST(LoadBackbone, UnderstandsTransformersNames) {
  const std::map<std::string, std::string> names = {
      {"backbone.conv1.weight", "resnet.embedder.embedder.convolution.weight"},
      {"backbone.bn1.bias", "resnet.embedder.embedder.normalization.bias"},
      {"backbone.layer2.0.downsample.0.weight",
       "resnet.encoder.stages.1.layers.0.shortcut.convolution.weight"},
      {"backbone.layer2.0.downsample.1.running_var",
       "resnet.encoder.stages.1.layers.0.shortcut.normalization.running_var"},
      {"backbone.layer4.1.conv2.weight",
       "resnet.encoder.stages.3.layers.1.layer.1.convolution.weight"},
      {"head.fc.weight", "classifier.1.weight"},
  };
  const StateDict checkpoint = Checkpoint([&](const std::string& name) {
    const auto found = names.find(name);
    return found == names.end() ? Torchvision(name) : found->second;
  });
  const auto model = MakeModel(kResNet);
  const auto report = LoadClassifier(checkpoint, {}, model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->matched, kBackboneTensors + 2);
  for (const auto& [ours, theirs] : names) EXPECT_TRUE(IsLoaded(*model, ours)) << theirs;
}

constexpr char kMobileNet[] = "backbone { mobilenet_v2 { width: 0.25 } } head { num_classes: 3 }";

// Returns a checkpoint of kMobileNet's network with torchvision's names below a prefix.
StateDict TorchvisionsMobileNet(const std::string& prefix) {
  std::map<std::string, std::string> theirs;
  const auto model = MakeModel(kMobileNet);
  for (const auto& [other, ours] : model->other_names()) {
    if (absl::StartsWith(other, "features.") || other == "classifier.1") theirs[ours] = other;
  }
  return Checkpoint(
      [&](const std::string& name) {
        const size_t dot = name.rfind('.');
        return prefix + theirs.at(name.substr(0, dot)) + name.substr(dot);
      },
      kMobileNet);
}

TEST(LoadBackbone, TakesTheNamesThatOtherPackagesHaveForANetwork) {
  const auto fresh = MakeModel(kMobileNet);
  for (const std::string prefix : {"", "net"}) {
    const auto model = MakeModel(kMobileNet);
    const StateDict checkpoint = TorchvisionsMobileNet(prefix.empty() ? "" : prefix + ".");
    const auto report = LoadBackbone(checkpoint, prefix, model.get());
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->Summary(), "312 tensors matched");
    for (const char* name : {"backbone.conv1.conv.weight",
                             "backbone.layer3.2.conv.1.bn.running_var", "backbone.conv2.bn.bias"}) {
      EXPECT_TRUE(at::equal(Named(*model, name), Named(*fresh, name) + 1)) << name;
    }
    EXPECT_TRUE(at::equal(Named(*model, "head.fc.bias"), Named(*fresh, "head.fc.bias")));
  }
}

TEST(LoadBackbone, FindsThePrefixOfOtherPackagesNamesAndNoOtherNetworks) {
  const StateDict checkpoint = TorchvisionsMobileNet("net.");
  EXPECT_THAT(ErrorOf(LoadClassifier(checkpoint, {}, MakeModel(kMobileNet).get())),
              testing::EndsWith(". They fit with --prefix=net"));
  const std::string error = ErrorOf(LoadClassifier(checkpoint, {}, MakeModel(kResNet).get()));
  EXPECT_THAT(error, AllOf(HasSubstr("none of the checkpoint's names are the backbone's"),
                           testing::Not(HasSubstr("They fit"))));
}

// Returns a checkpoint of a model of `config` under another package's names. `is_theirs`: whether a
// layer's name is that package's.
template <typename IsTheirs>
StateDict ByOtherNames(const std::string& config, const IsTheirs& is_theirs) {
  std::map<std::string, std::string> theirs;
  const auto model = MakeModel(config);
  for (const auto& [other, ours] : model->other_names()) {
    if (is_theirs(other)) theirs[ours] = other;
  }
  return Checkpoint(
      [&](const std::string& name) {
        const size_t dot = name.rfind('.');
        return theirs.at(name.substr(0, dot)) + name.substr(dot);
      },
      config);
}
bool IsTorchvisions(const std::string& layer) {
  return absl::StartsWith(layer, "features.") || absl::StartsWith(layer, "classifier.");
}
bool IsTimms(const std::string& layer) {
  return absl::StartsWith(layer, "blocks.") || layer == "conv_stem" || layer == "conv_head" ||
         layer == "bn1" || layer == "bn2" || layer == "classifier";
}

std::string Config(const std::string& backbone) {
  return "backbone { " + backbone + " } head { num_classes: 3 }";
}

TEST(LoadBackbone, AsksForTheOriginThatNamesLeaveOpen) {
  for (const auto& [kind, first, second] : {std::tuple("efficientnet", "PYTORCH", "TENSORFLOW"),
                                            {"efficientnet_lite", "PYTORCH", "TENSORFLOW"},
                                            {"mobilenet_v3", "TIMM", "TENSORFLOW"}}) {
    const std::string network = kind;
    const StateDict checkpoint = ByOtherNames(Config(network + " {}"), IsTimms);
    const std::string error =
        ErrorOf(LoadBackbone(checkpoint, "", MakeModel(Config(network + " {}")).get()));
    EXPECT_THAT(error, AllOf(HasSubstr("its names are timm's"),
                             HasSubstr("expected model.backbone." + network + ".origin: " + first +
                                       " for the first one, or " + second)));
    for (const char* origin : {first, second}) {
      const std::string config = Config(network + " { origin: " + origin + " }");
      EXPECT_TRUE(LoadBackbone(checkpoint, "", MakeModel(config).get()).ok()) << config;
    }
  }
}

TEST(LoadBackbone, AsksForTheOriginThatNamesTellWhereTheConfigDoesNot) {
  const std::string unset = Config("efficientnet {}");
  StateDict checkpoint = ByOtherNames(unset, IsTorchvisions);
  for (NamedTensor& tensor : checkpoint.tensors) tensor.name = "net." + tensor.name;
  EXPECT_THAT(ErrorOf(LoadBackbone(checkpoint, "net", MakeModel(unset).get())),
              AllOf(HasSubstr("its names are torchvision's"),
                    testing::EndsWith("expected model.backbone.efficientnet.origin: PYTORCH")));
  const std::string set = Config("efficientnet { origin: PYTORCH }");
  EXPECT_TRUE(LoadBackbone(checkpoint, "net", MakeModel(set).get()).ok());
  // torchvision has MobileNetV3 with one padding and epsilon only, and so do finetune's own names.
  const std::string v3 = Config("mobilenet_v3 { variant: SMALL }");
  EXPECT_TRUE(LoadBackbone(ByOtherNames(v3, IsTorchvisions), "", MakeModel(v3).get()).ok());
  EXPECT_TRUE(LoadBackbone(Checkpoint(Same, unset), "", MakeModel(unset).get()).ok());
}

TEST(LoadBackbone, TakesTheHiddenLayerOfAClassifierAndNotItsLastOne) {
  const std::string config = Config("mobilenet_v3 { variant: SMALL origin: TIMM }");
  StateDict checkpoint = ByOtherNames(config, IsTimms);
  for (NamedTensor& tensor : checkpoint.tensors) {
    // timm's hidden layer is a 1x1 convolution, and this model's is a linear layer.
    if (tensor.name == "conv_head.weight") tensor.tensor = tensor.tensor.view({1024, 576, 1, 1});
  }
  const auto model = MakeModel(config), fresh = MakeModel(config);
  const auto report = LoadBackbone(checkpoint, "", model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->matched, checkpoint.tensors.size() - 2);
  for (const char* name : {"head.layers.0.fc.weight", "backbone.layer4.se.conv2.conv.bias"}) {
    EXPECT_TRUE(at::equal(Named(*model, name), Named(*fresh, name) + 1)) << name;
  }
  EXPECT_TRUE(at::equal(Named(*model, "head.layers.1.fc.weight"),
                        Named(*fresh, "head.layers.1.fc.weight")));
}

TEST(LoadBackbone, TakesTensorsThatDifferByDimensionsOfOne) {
  const std::string config = Config("convnext { variant: ATTO version: V2 }");
  StateDict checkpoint = Checkpoint(Same, config);
  int changed = 0;
  for (NamedTensor& one : checkpoint.tensors) {
    if (absl::StrContains(one.name, ".grn.")) {
      one.tensor = one.tensor.view({1, 1, 1, -1});
    } else if (absl::StrContains(one.name, ".pointwise_conv") && one.tensor.dim() == 2) {
      one.tensor = one.tensor.view({one.tensor.size(0), one.tensor.size(1), 1, 1});
    } else {
      continue;
    }
    ++changed;
  }
  EXPECT_EQ(changed, 12 * 4);  // 12 blocks
  const auto model = MakeModel(config), fresh = MakeModel(config);
  const auto report = LoadBackbone(checkpoint, "", model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  for (const char* name :
       {"backbone.stages.0.0.grn.gamma", "backbone.stages.2.5.pointwise_conv1.weight"}) {
    EXPECT_TRUE(at::equal(Named(*model, name), Named(*fresh, name) + 1)) << name;
  }
  // The same values in another order are another tensor.
  for (NamedTensor& one : checkpoint.tensors) {
    if (one.name == "backbone.stages.0.0.pointwise_conv1.weight") {
      one.tensor = one.tensor.transpose(0, 1);
    }
  }
  EXPECT_THAT(ErrorOf(LoadBackbone(checkpoint, "", model.get())),
              HasSubstr("backbone.stages.0.0.pointwise_conv1.weight: [40, 160, 1, 1] in the "
                        "checkpoint, [160, 40] in the model"));
}

TEST(LoadBackbone, UnderstandsMmpretrainsNamesWithoutPrefix) {
  const auto model = MakeModel(kResNet);
  const auto report = LoadBackbone(Checkpoint(Same), "", model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->matched, kBackboneTensors);
}

TEST(LoadBackbone, TakesAPrefixOfSeveralParts) {
  const auto model = MakeModel(kResNet);
  const auto report =
      LoadBackbone(Checkpoint([](const std::string& n) { return "student.net." + n; }),
                   "student.net.backbone", model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->matched, kBackboneTensors);
}

TEST(LoadBackbone, WritesWhereTheParametersLie) {
  const auto model = MakeModel(kResNet);
  const at::Tensor weight = Named(*model, "backbone.conv1.weight");
  const void* const place = weight.data_ptr();
  ASSERT_TRUE(LoadBackbone(Checkpoint(Same), "backbone", model.get()).ok());
  EXPECT_EQ(weight.data_ptr(), place);
  EXPECT_TRUE(weight.requires_grad());
}

TEST(LoadBackbone, ConvertsFloatingPointTypes) {
  for (const at::ScalarType type : {at::kHalf, at::kBFloat16, at::kDouble}) {
    const auto model = MakeModel(kResNet);
    StateDict checkpoint = Checkpoint(Same);
    for (NamedTensor& tensor : checkpoint.tensors) {
      if (tensor.tensor.is_floating_point()) tensor.tensor = tensor.tensor.to(type);
    }
    const auto report = LoadBackbone(checkpoint, "backbone", model.get());
    ASSERT_TRUE(report.ok()) << report.status();
    const at::Tensor loaded = Named(*model, "backbone.bn1.weight");
    EXPECT_EQ(loaded.scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(
        loaded, (Named(*MakeModel(kResNet), "backbone.bn1.weight") + 1).to(type).to(at::kFloat)));
  }
}

TEST(LoadBackbone, RefusesAWeightOfIntegers) {
  const auto model = MakeModel(kResNet);
  StateDict checkpoint = Checkpoint(Same);
  at::Tensor& weight = Tensor(&checkpoint, "backbone.conv1.weight");
  weight = weight.to(at::kByte);
  const auto report = LoadBackbone(checkpoint, "backbone", model.get());
  EXPECT_THAT(report.status().message(),
              HasSubstr("backbone.conv1.weight: uint8 in the checkpoint, float32 in the model"));
  ExpectUntouched(*model);
}

TEST(LoadBackbone, NamesTypesAsPythonDoes) {
  const std::map<at::ScalarType, std::string> names = {{at::kChar, "int8"},
                                                       {at::kByte, "uint8"},
                                                       {at::kShort, "int16"},
                                                       {at::kInt, "int32"},
                                                       {at::kLong, "int64"},
                                                       {at::kBool, "bool"},
                                                       {at::kComplexFloat, "complex64"}};
  for (const auto& [type, name] : names) {
    StateDict checkpoint = Checkpoint(Same);
    at::Tensor& weight = Tensor(&checkpoint, "backbone.bn1.bias");
    weight = weight.to(type);
    EXPECT_THAT(ErrorOf(LoadBackbone(checkpoint, "backbone", MakeModel(kResNet).get())),
                HasSubstr("backbone.bn1.bias: " + name + " in the checkpoint, float32 in the"));
  }
}

// Returns a checkpoint in which one convolution's weight has another name, as after pruning or
// weight normalisation, or in another network.
StateDict Renamed() {
  return Checkpoint([](const std::string& name) {
    return name == "backbone.layer1.0.conv1.weight" ? "backbone.layer1.0.conv1.weight_orig" : name;
  });
}

TEST(LoadBackbone, RefusesMissingAndLeftOverTensorsAndListsThem) {
  const auto model = MakeModel(kResNet);
  const auto report = LoadBackbone(Renamed(), "backbone", model.get());
  EXPECT_EQ(report.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorOf(report),
            "the checkpoint does not fit the model of the config: 119 tensors matched; 1 missing: "
            "backbone.layer1.0.conv1.weight; 1 not used: backbone.layer1.0.conv1.weight_orig. "
            "Choose the model that the checkpoint is of, or allow the tensors by name in "
            "model.backbone.pretrained.allow_missing and allow_unused");
  ExpectUntouched(*model);
}

TEST(LoadBackbone, TakesTheRestWhereTheConfigAllowsByName) {
  for (const char* allowed :
       {"allow_missing: 'backbone.layer1.0.conv1.weight' "
        "allow_unused: 'backbone.layer1.0.conv1.weight_orig'",
        "allow_missing: 'backbone.layer1' allow_unused: 'backbone.layer1.0.'"}) {
    const auto model = MakeModel(kResNet);
    const auto report = LoadPretrained(Renamed(), Pretrained(allowed), model.get());
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_THAT(report->missing, ElementsAre("backbone.layer1.0.conv1.weight"));
    EXPECT_THAT(report->unused, ElementsAre("backbone.layer1.0.conv1.weight_orig"));
    EXPECT_TRUE(IsLoaded(*model, "backbone.conv1.weight"));
  }
  const auto model = MakeModel(kResNet);
  for (const char* other : {"allow_missing: 'backbone.layer1'", "allow_unused: 'backbone.layer1'",
                            "allow_missing: 'backbone.lay' allow_unused: 'backbone.lay'"}) {
    EXPECT_THAT(ErrorOf(LoadPretrained(Renamed(), Pretrained(other), model.get())),
                HasSubstr("1 missing"));
  }
  ExpectUntouched(*model);
}

TEST(LoadBackbone, WarnsOfAllowancesThatAllowNothing) {
  const auto model = MakeModel(kResNet);
  const auto report = LoadPretrained(
      Renamed(),
      Pretrained("allow_missing: ['backbone.layer1', 'backbone.layr2'] "
                 "allow_unused: ['head', 'backbone.layer1.0.conv1.weight_orig', 'neck.']"),
      model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(
      report->warnings,
      ElementsAre("model.backbone.pretrained.allow_missing: \"backbone.layr2\" has no effect: no "
                  "tensor that is missing has this name or begins with it",
                  "model.backbone.pretrained.allow_unused: \"head\" has no effect: no tensor that "
                  "is left over has this name or begins with it",
                  "model.backbone.pretrained.allow_unused: \"neck.\" has no effect: no tensor that "
                  "is left over has this name or begins with it"));
  const auto none = LoadBackbone(Checkpoint(Same), "backbone", MakeModel(kResNet).get());
  EXPECT_THAT(none->warnings, IsEmpty());
}

TEST(LoadBackbone, NeverLeavesAFrozenStageWithRandomValues) {
  const auto model = MakeModel(
      "backbone { resnet { depth: 18 base_channels: 4 } frozen_stages: 1 } head { num_classes: 3 "
      "}");
  const PretrainedConfig allows = Pretrained("allow_missing: 'backbone' allow_unused: 'backbone'");
  EXPECT_THAT(ErrorOf(LoadPretrained(Renamed(), allows, model.get())),
              AllOf(HasSubstr("lacks tensors of frozen stages"),
                    HasSubstr("backbone.layer1.0.conv1.weight. "),
                    HasSubstr("lower model.backbone.frozen_stages")));
  const StateDict no_variance = Checkpoint(
      [](const std::string& name) { return name == "backbone.bn1.running_var" ? "" : name; });
  EXPECT_THAT(ErrorOf(LoadPretrained(no_variance, allows, model.get())),
              HasSubstr("for ever: backbone.bn1.running_var"));
  ExpectUntouched(*model);
  const StateDict trained_stage = Checkpoint(
      [](const std::string& name) { return name == "backbone.layer2.0.bn1.weight" ? "" : name; });
  EXPECT_TRUE(LoadPretrained(trained_stage, allows, model.get()).ok());
}

TEST(LoadBackbone, RefusesADeeperAndAShallowerNetwork) {
  const std::string shallow =
      "backbone { resnet { depth: 18 base_channels: 4 } } head { num_classes: 3 }";
  const std::string deep =
      "backbone { resnet { depth: 34 base_channels: 4 } } head { num_classes: 3 }";
  const auto model = MakeModel(shallow);
  EXPECT_THAT(ErrorOf(LoadBackbone(Checkpoint(Same, deep), "", model.get())),
              AllOf(HasSubstr("120 tensors matched; 80 not used: backbone.layer1.2.bn1.bias, "),
                    HasSubstr(" and 72 more")));
  EXPECT_THAT(ErrorOf(LoadClassifier(Checkpoint(Same, deep), {}, model.get())),
              AllOf(HasSubstr("80 not used"), HasSubstr("Give the config it was trained with")));
  EXPECT_THAT(ErrorOf(LoadClassifier(Checkpoint(Torchvision, deep), {}, model.get())),
              HasSubstr("80 not used: layer1.2.bn1.bias, "));
  EXPECT_THAT(ErrorOf(LoadBackbone(Checkpoint(Same, shallow), "", MakeModel(deep).get())),
              HasSubstr("80 missing: backbone.layer1.2.conv1.weight"));
  ExpectUntouched(*model);
}

TEST(LoadBackbone, PassesOverADetectorsOtherPartsAndCounts) {
  StateDict checkpoint = Checkpoint(Same);
  checkpoint.tensors.push_back({"neck.conv.weight", at::zeros({2})});
  checkpoint.tensors.push_back({"n_averaged", at::zeros({}, at::kLong)});
  checkpoint.tensors.push_back({"backbone.steps", at::zeros({}, at::kLong)});
  for (const char* prefix : {"", "backbone"}) {
    const auto report = LoadBackbone(checkpoint, prefix, MakeModel(kResNet).get());
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->Summary(), "120 tensors matched");
  }
}

TEST(LoadBackbone, IgnoresAPrefixThatNoNameHasAndSaysSo) {
  const auto model = MakeModel(kResNet);
  const auto report = LoadBackbone(Checkpoint(Torchvision), "backbone", model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->matched, kBackboneTensors);
  EXPECT_THAT(report->notes,
              ElementsAre("no name in it begins with the prefix \"backbone\"; the names are taken "
                          "without it"));
  EXPECT_TRUE(IsLoaded(*model, "backbone.conv1.weight"));
}

TEST(LoadBackbone, TakesCountersOfEveryTypeAndShape) {
  constexpr char kCounter[] = "backbone.bn1.num_batches_tracked";
  for (const at::ScalarType type :
       {at::kLong, at::kInt, at::kFloat, at::kDouble, at::kHalf, at::kBFloat16}) {
    for (const bool is_scalar : {true, false}) {
      StateDict checkpoint = Checkpoint(Same);
      at::Tensor counter = at::zeros({1}, at::kLong) + 11;
      if (is_scalar) counter = counter.squeeze();
      Tensor(&checkpoint, kCounter) = counter.to(type);
      const auto model = MakeModel(kResNet);
      const auto report = LoadBackbone(checkpoint, "backbone", model.get());
      ASSERT_TRUE(report.ok()) << report.status();
      EXPECT_EQ(Named(*model, kCounter).item<int64_t>(), 11) << type;
    }
  }
  // The largest float16 is 65504: a counter of a longer training overflows to infinity.
  StateDict checkpoint = Checkpoint(Same);
  Tensor(&checkpoint, kCounter) = at::full({}, INFINITY, at::kHalf);
  const auto model = MakeModel(kResNet);
  EXPECT_TRUE(LoadBackbone(checkpoint, "backbone", model.get()).ok());
  EXPECT_TRUE(at::equal(Named(*model, kCounter), Named(*MakeModel(kResNet), kCounter)));
}

TEST(LoadBackbone, RefusesValuesThatAreNotFiniteAndNegativeVariancesByName) {
  const auto model = MakeModel(kResNet);
  for (const double value : {static_cast<double>(NAN), static_cast<double>(INFINITY), 1e300}) {
    StateDict checkpoint = Checkpoint(Same);
    at::Tensor& weight = Tensor(&checkpoint, "backbone.conv1.weight");
    weight = weight.to(at::kDouble);
    weight[3][2][6][6] = value;
    for (const auto& report : {LoadBackbone(checkpoint, "backbone", model.get()),
                               LoadClassifier(checkpoint, {}, model.get())}) {
      EXPECT_EQ(report.status().code(), absl::StatusCode::kDataLoss);
      EXPECT_THAT(ErrorOf(report),
                  HasSubstr("backbone.conv1.weight has values that are not finite"));
    }
  }
  StateDict checkpoint = Checkpoint(Same);
  Tensor(&checkpoint, "backbone.layer4.1.bn2.running_var")[1] = -0.5;
  EXPECT_THAT(ErrorOf(LoadBackbone(checkpoint, "backbone", model.get())),
              HasSubstr("backbone.layer4.1.bn2.running_var has the value -0.5; a variance is at "
                        "least 0"));
  ExpectUntouched(*model);
}

TEST(LoadBackbone, WarnsOfFiniteValuesThatNothingCanBeComputedWith) {
  const auto model = MakeModel(kResNet);
  StateDict checkpoint = Checkpoint(Same);
  Tensor(&checkpoint, "backbone.conv1.weight")[3][2][6][6] = -1e38;
  Tensor(&checkpoint, "backbone.layer4.1.bn2.running_var")[1] = 1e30;
  for (const auto& report :
       {LoadBackbone(checkpoint, "backbone", model.get()),
        LoadClassifier(checkpoint, {}, model.get()), LoadResumed(checkpoint, model.get())}) {
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_THAT(report->warnings,
                ElementsAre("backbone.conv1.weight and 1 more have values as large as "
                            "1e+38, whose squares float32 cannot hold: the run that wrote the "
                            "checkpoint had diverged; take an earlier one"));
  }
  EXPECT_EQ(WarnOfHugeValues("the momentum of ", {{"a", at::zeros({2})}, {"b", at::zeros({0})}}),
            "");
  EXPECT_THAT(WarnOfHugeValues("the momentum of ", {{"a", at::full({2}, 2e19)}}),
              testing::StartsWith("the momentum of a has values as large as 2e+19, "));
}

TEST(LoadBackbone, EscapesAndShortensNamesOfTheFile) {
  StateDict checkpoint = Checkpoint(Same);
  checkpoint.tensors.push_back({"backbone.\x1b[2J", at::zeros({2})});
  checkpoint.tensors.push_back({"backbone.x" + std::string(5000, 'y'), at::zeros({2})});
  const std::string error = ErrorOf(LoadBackbone(checkpoint, "backbone", MakeModel(kResNet).get()));
  EXPECT_THAT(error, AllOf(HasSubstr("2 not used: backbone.\\x1b[2J, backbone.xyyy"),
                           HasSubstr("or allow the tensors by name")));
  EXPECT_LT(error.size(), 1000);
}

// Where the checkpoint's names have no "backbone.", every entry counts as the network's.
TEST(LoadBackbone, PassesOverWhatItCannotReadOutsideOfTheBackbonesModules) {
  for (const bool bare : {false, true}) {
    StateDict checkpoint = bare ? Checkpoint(Torchvision) : Checkpoint(Same);
    checkpoint.unreadable.push_back({"adjacency", "sparse"});
    checkpoint.unreadable.push_back({"neck.conv.weight", "sparse"});
    const auto report = LoadBackbone(checkpoint, "", MakeModel(kResNet).get());
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->Summary(), "120 tensors matched");
    EXPECT_TRUE(LoadClassifier(checkpoint, {}, MakeModel(kResNet).get()).ok());

    const std::string inside = bare ? "layer1.0.conv1.delta" : "backbone.layer1.0.conv1.delta";
    checkpoint.unreadable.push_back({inside, "sparse"});
    EXPECT_THAT(ErrorOf(LoadBackbone(checkpoint, "", MakeModel(kResNet).get())),
                HasSubstr("1 not used: " + inside));
    checkpoint.unreadable.back().name = bare ? "fc.delta" : "head.fc.delta";
    EXPECT_TRUE(LoadBackbone(checkpoint, "", MakeModel(kResNet).get()).ok());
    EXPECT_THAT(ErrorOf(LoadClassifier(checkpoint, {}, MakeModel(kResNet).get())),
                HasSubstr("1 not used: "));
  }
}

TEST(LoadBackbone, NeedsOnlyItsOwnTensorsToBePlain) {
  const auto model = MakeModel(kResNet);
  StateDict checkpoint =
      Checkpoint([](const std::string& name) { return name == "head.fc.weight" ? "" : name; });
  checkpoint.unreadable.push_back({"head.fc.weight", "an object of torchao"});
  EXPECT_TRUE(LoadBackbone(checkpoint, "backbone", model.get()).ok());
  EXPECT_EQ(ErrorOf(LoadClassifier(checkpoint, {}, model.get())),
            "head.fc.weight is an object of torchao");
}

// Returns a checkpoint whose first convolution has this number of input channels.
StateDict OfChannels(int64_t channels) {
  StateDict checkpoint = Checkpoint(Same);
  at::Tensor& weight = Tensor(&checkpoint, "backbone.conv1.weight");
  weight = at::arange(4 * channels * 49, at::kFloat).reshape({4, channels, 7, 7});
  return checkpoint;
}

TEST(LoadBackbone, SpreadsAConvolutionOfOneChannelWhenAsked) {
  const auto model = MakeModel(kResNet);
  StateDict checkpoint = OfChannels(1);
  EXPECT_THAT(ErrorOf(LoadBackbone(checkpoint, "", model.get())),
              AllOf(HasSubstr("[4, 1, 7, 7] in the checkpoint"),
                    HasSubstr("model.backbone.pretrained.adapt_input_channels: true")));
  const auto report =
      LoadPretrained(checkpoint, Pretrained("adapt_input_channels: true"), model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->notes, ElementsAre("backbone.conv1.weight: its weights for 1 channel are "
                                         "spread over 3"));
  const at::Tensor loaded = Named(*model, "backbone.conv1.weight");
  const at::Tensor& given = Tensor(&checkpoint, "backbone.conv1.weight");
  for (int channel = 0; channel < 3; ++channel) {
    EXPECT_TRUE(at::equal(loaded.select(1, channel), given.select(1, 0).div(3.0)));
  }
  // The message names the setting of the command: a flag for evaluate, a config field for training.
  EXPECT_THAT(
      ErrorOf(LoadClassifier(checkpoint, {}, model.get())),
      testing::EndsWith(
          ". --adapt_input_channels fits a first convolution of another number of channels"));
  EXPECT_THAT(ErrorOf(LoadResumed(checkpoint, model.get())),
              testing::EndsWith("[4, 1, 7, 7] in the checkpoint, [4, 3, 7, 7] in the model"));
  const auto evaluated =
      LoadClassifier(checkpoint, {.prefix = "", .adapt_input_channels = true}, model.get());
  ASSERT_TRUE(evaluated.ok()) << evaluated.status();
  EXPECT_EQ(evaluated->notes.size(), 1u);
  // From 4 channels to 3 there is no standard conversion.
  EXPECT_THAT(
      ErrorOf(LoadPretrained(OfChannels(4), Pretrained("adapt_input_channels: true"), model.get())),
      HasSubstr("[4, 4, 7, 7] in the checkpoint"));
}

TEST(LoadBackbone, SumsAConvolutionOfThreeChannelsWhenAsked) {
  const auto model = MakeModel("backbone { lenet5 {} } head { num_classes: 10 }");
  StateDict checkpoint = Checkpoint(Same, "backbone { lenet5 {} } head { num_classes: 10 }");
  at::Tensor& weight = Tensor(&checkpoint, "backbone.features.0.weight");
  const at::Tensor of_one = weight;
  weight = of_one.repeat({1, 3, 1, 1});
  const auto report =
      LoadPretrained(checkpoint, Pretrained("adapt_input_channels: true"), model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(at::equal(Named(*model, "backbone.features.0.weight"), weight.sum(1, true)));
}

TEST(LoadBackbone, TakesTheHeadTooWhenAsked) {
  for (const bool torchvision : {false, true}) {
    const StateDict checkpoint = torchvision ? Checkpoint(Torchvision) : Checkpoint(Same);
    for (const char* how : {"with_head: true", "prefix: 'backbone' with_head: true"}) {
      const auto model = MakeModel(kResNet);
      const auto report = LoadPretrained(checkpoint, Pretrained(how), model.get());
      ASSERT_TRUE(report.ok()) << report.status();
      EXPECT_EQ(report->matched, kBackboneTensors + 2);
      EXPECT_TRUE(IsLoaded(*model, "head.fc.weight"));
    }
  }
  const auto model = MakeModel(kResNet);
  EXPECT_THAT(
      ErrorOf(LoadPretrained(Checkpoint(Same,
                                        "backbone { resnet { depth: 18 base_channels: 4 } } "
                                        "head { num_classes: 7 }"),
                             Pretrained("with_head: true"), model.get())),
      HasSubstr("another number of classes than model.head.num_classes"));
  ExpectUntouched(*model);
}

TEST(LoadBackbone, TakesOldCheckpointsWithoutCounters) {
  const auto model = MakeModel(kResNet);
  const auto report = LoadBackbone(Checkpoint([](const std::string& name) {
                                     return absl::EndsWith(name, "num_batches_tracked") ? "" : name;
                                   }),
                                   "backbone", model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->missing, IsEmpty());
  EXPECT_EQ(report->matched, 100);
}

TEST(LoadBackbone, NamesShapesOfAnotherNetworkAndLeavesTheModel) {
  const auto model = MakeModel(kResNet);
  const auto report =
      LoadBackbone(Checkpoint(Same,
                              "backbone { resnet { depth: 18 base_channels: 4 stem: CIFAR } } "
                              "head { num_classes: 3 }"),
                   "backbone", model.get());
  EXPECT_EQ(report.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(
      report.status().message(),
      "the checkpoint is of another network: 119 tensors matched; 1 of another shape or type: "
      "backbone.conv1.weight: [4, 3, 3, 3] in the checkpoint, [4, 3, 7, 7] in the model");
  ExpectUntouched(*model);
}

TEST(LoadBackbone, ShowsBothSidesAndTheRightPrefixWhereNothingFits) {
  const auto model = MakeModel(kResNet);
  const StateDict deep = Checkpoint([](const std::string& n) { return "model." + n; });
  for (const char* prefix : {"", "backbone", "modle.backbone"}) {
    const absl::Status status = LoadBackbone(deep, prefix, model.get()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("It has model.backbone.conv1.weight, "),
                      HasSubstr("They fit with model.backbone.pretrained.prefix: model.backbone")));
  }
  EXPECT_THAT(ErrorOf(LoadClassifier(deep, {}, model.get())),
              HasSubstr("They fit with --prefix=model.backbone"));
  EXPECT_EQ(ErrorOf(LoadBackbone(Checkpoint([](const std::string& n) { return n + "_x"; }), "model",
                                 model.get())),
            "none of the checkpoint's names are the backbone's with prefix \"model\" or without "
            "it. It has backbone.conv1.weight_x, backbone.bn1.weight_x, backbone.bn1.bias_x, "
            "backbone.layer1.0.conv1.weight_x and 118 more; expected conv1.weight, bn1.weight, "
            "bn1.bias, layer1.0.conv1.weight and 116 more");
  EXPECT_THAT(std::string(LoadBackbone({}, "", model.get()).status().message()),
              HasSubstr("It has no tensors; expected conv1.weight, "));
  EXPECT_THAT(
      std::string(
          LoadBackbone({{{"a", at::zeros({1})}}, {}, {}}, "", model.get()).status().message()),
      HasSubstr("It has a; expected conv1.weight, "));
  ExpectUntouched(*model);
}

// Returns a checkpoint with the same network twice, below two prefixes.
StateDict Twice(const std::string& one, const std::string& other, bool torchvision = true) {
  StateDict state;
  for (const std::string& prefix : {one, other}) {
    const StateDict once = torchvision ? Checkpoint(Torchvision) : Checkpoint(Same);
    for (const NamedTensor& tensor : once.tensors) {
      state.tensors.push_back({prefix + tensor.name, tensor.tensor});
    }
  }
  return state;
}

TEST(LoadBackbone, NamesEveryPrefixThatFits) {
  const auto model = MakeModel(kResNet);
  EXPECT_THAT(ErrorOf(LoadClassifier(Twice("model.", "ema."), {}, model.get())),
              HasSubstr(". They fit with --prefix=ema or --prefix=model"));
  EXPECT_THAT(
      ErrorOf(LoadBackbone(Twice("student.", "teacher.", /*torchvision=*/false), "", model.get())),
      HasSubstr(". They fit with model.backbone.pretrained.prefix: student.backbone or "
                "model.backbone.pretrained.prefix: teacher.backbone"));
  // A teacher with twice the channels has the same names but other shapes.
  StateDict distilled;
  for (const char* config :
       {kResNet, "backbone { resnet { depth: 18 base_channels: 8 } } head { num_classes: 3 }"}) {
    const StateDict one = Checkpoint(Torchvision, config);
    for (const NamedTensor& tensor : one.tensors) {
      distilled.tensors.push_back(
          {absl::StrCat(config == kResNet ? "student." : "a_teacher.", tensor.name),
           tensor.tensor});
    }
  }
  EXPECT_THAT(ErrorOf(LoadClassifier(distilled, {}, model.get())),
              testing::EndsWith(". They fit with --prefix=student"));
  // The search for prefixes ends also for a name of thousands of parts.
  EXPECT_THAT(ErrorOf(LoadClassifier({{{std::string(4096, '.'), at::zeros({1})}}, {}, {}}, {},
                                     model.get())),
              testing::Not(HasSubstr("They fit")));
  ExpectUntouched(*model);
}

TEST(LoadBackbone, SaysThatTheBackboneIsThereTwice) {
  const auto model = MakeModel(kResNet);
  for (const bool bare_first : {false, true}) {
    StateDict both = Checkpoint(Same);
    StateDict bare = Checkpoint(Torchvision);
    for (NamedTensor& tensor : bare.tensors) tensor.tensor = tensor.tensor.mul(0);
    if (bare_first) std::swap(both.tensors, bare.tensors);
    both.tensors.insert(both.tensors.end(), bare.tensors.begin(), bare.tensors.end());
    const auto twice =
        LoadPretrained(both, Pretrained("prefix: 'backbone' with_head: true"), model.get());
    ASSERT_TRUE(twice.ok()) << twice.status();
    EXPECT_THAT(twice->notes, ElementsAre("it has the backbone's names also without a prefix"));
    // All values come from the same one of the two sets.
    EXPECT_TRUE(IsLoaded(*model, "backbone.conv1.weight"));
    EXPECT_TRUE(IsLoaded(*model, "head.fc.weight"));
  }

  const auto report = LoadClassifier(Twice("", "ema.", /*torchvision=*/false), {}, model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->notes, ElementsAre("it has the backbone's names also below \"ema.backbone\" "
                                         "(--prefix=ema.backbone takes those)"));

  StateDict two_heads = Checkpoint(Torchvision);
  two_heads.tensors.push_back({"head.fc.bias", at::zeros({3})});
  EXPECT_THAT(ErrorOf(LoadClassifier(two_heads, {}, model.get())),
              HasSubstr("122 tensors matched; 1 not used: head.fc.bias"));

  // Where names have no "backbone.", a second set of them is left over, which is an error.
  EXPECT_THAT(ErrorOf(LoadBackbone(Twice("", "ema."), "", model.get())),
              AllOf(HasSubstr("102 not used: ema."),
                    testing::EndsWith("; it has the backbone's names also below \"ema\" "
                                      "(model.backbone.pretrained.prefix: ema takes those)")));
}

TEST(LoadBackbone, DropsWhatWasFoldedFromTheWeightsBefore) {
  const at::Tensor images = ByFormula("images", {2, 3, 32, 32});
  const auto model = MakeModel(
      "backbone { resnet { depth: 18 base_channels: 4 } frozen_stages: 2 } head { num_classes: 3 "
      "}");
  const at::Tensor before = model->Forward(images, kEvaluation);
  ASSERT_TRUE(LoadBackbone(Checkpoint(Same), "backbone", model.get()).ok());
  const at::Tensor after = model->Forward(images, kEvaluation);
  model->ParametersChanged(/*all=*/true);
  EXPECT_TRUE(at::equal(after, model->Forward(images, kEvaluation)));
  EXPECT_FALSE(at::equal(after, before));
}

TEST(LoadBackbone, PassesOverLeNetsLastLayer) {
  const auto model = MakeModel("backbone { lenet5 {} } head { num_classes: 5 }");
  const auto report = LoadBackbone(
      Checkpoint(Same, "backbone { lenet5 {} } head { num_classes: 10 }"), "", model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->Summary(), "8 tensors matched");
}

TEST(LoadClassifier, TakesAllOfOurOwnNamesAndOfTorchvisions) {
  for (const bool torchvision : {false, true}) {
    const auto model = MakeModel(kResNet);
    const auto report =
        LoadClassifier(torchvision ? Checkpoint(Torchvision) : Checkpoint(Same), {}, model.get());
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->matched, kBackboneTensors + 2);
    for (const NamedTensor& tensor : model->State()) {
      EXPECT_TRUE(IsLoaded(*model, tensor.name)) << tensor.name;
    }
  }
}

TEST(LoadClassifier, TakesEfficientNetsNamesAndHeadAsItsPackageHasThem) {
  const std::string config = "backbone { efficientnet_lite {} } head { num_classes: 3 }";
  const auto as_package = [](const std::string& name) {
    return absl::StartsWith(name, "head.fc.") ? "_fc." + name.substr(8)
                                              : std::string(absl::StripPrefix(name, "backbone."));
  };
  const auto model = MakeModel(config);
  const auto report = LoadClassifier(Checkpoint(as_package, config), {}, model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->unused, IsEmpty());
  const auto fresh = MakeModel(config);
  for (const NamedTensor& tensor : model->State()) {
    EXPECT_TRUE(at::equal(tensor.tensor, Named(*fresh, tensor.name) + 1)) << tensor.name;
  }
  // Loading only the backbone works for any number of classes.
  const auto other = MakeModel("backbone { efficientnet_lite {} } head { num_classes: 7 }");
  EXPECT_EQ(LoadBackbone(Checkpoint(as_package, config), "", other.get())->Summary(),
            "294 tensors matched");
}

TEST(LoadClassifier, NeedsEveryTensorOfTheRightShapeAndElseTouchesNothing) {
  const auto model = MakeModel(kResNet);
  EXPECT_EQ(LoadClassifier(Checkpoint([](const std::string& name) {
                             return name == "head.fc.bias" ? "" : name;
                           }),
                           {}, model.get())
                .status()
                .message(),
            "the checkpoint does not fit the model of the config: 121 tensors matched; 1 missing: "
            "head.fc.bias. Give the config it was trained with");
  const auto other_classes = LoadClassifier(
      Checkpoint(Same,
                 "backbone { resnet { depth: 18 base_channels: 4 } } head { num_classes: 7 }"),
      {}, model.get());
  EXPECT_THAT(std::string(other_classes.status().message()),
              HasSubstr("head.fc.weight: [7, 32] in the checkpoint, [3, 32] in the model"));
  ExpectUntouched(*model);
}

TEST(LoadClassifier, TakesNamesBelowAPrefix) {
  for (const bool torchvision : {false, true}) {
    const auto model = MakeModel(kResNet);
    const StateDict checkpoint = Checkpoint([&](const std::string& name) {
      return "model." + (torchvision ? Torchvision(name) : name);
    });
    const auto report = LoadClassifier(checkpoint, {.prefix = "model"}, model.get());
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->matched, kBackboneTensors + 2);
  }
}

}  // namespace
}  // namespace finetune
