#include "src/model/load.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>

#include <string>

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
// Of the backbone: 20 convolutions with 5 tensors of batch norm each.
constexpr int kBackboneTensors = 20 * 6;

// The state of a model like kResNet with other values, each name passed through `rename`; an empty
// new name leaves the tensor out.
template <typename Rename>
TensorList Checkpoint(const Rename& rename, const std::string& config = kResNet) {
  TensorList list;
  for (const NamedTensor& tensor : MakeModel(config)->State()) {
    std::string name = rename(tensor.name);
    if (!name.empty()) list.push_back({std::move(name), tensor.tensor.detach() + 1});
  }
  return list;
}

std::string Same(const std::string& name) { return name; }

// As torchvision calls it.
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

TEST(LoadBackbone, TakesWhatThePrefixNamesAndLeavesTheHead) {
  const auto model = MakeModel(kResNet);
  const auto report = LoadBackbone(Checkpoint(Same), "backbone", model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->matched, kBackboneTensors);
  EXPECT_THAT(report->missing, IsEmpty());
  EXPECT_THAT(report->unexpected, IsEmpty());
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
    TensorList checkpoint = Checkpoint(Same);
    for (NamedTensor& tensor : checkpoint) {
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

TEST(LoadBackbone, AWeightOfIntegersIsNoWeight) {
  const auto model = MakeModel(kResNet);
  TensorList checkpoint = Checkpoint(Same);
  for (NamedTensor& tensor : checkpoint) {
    if (tensor.name == "backbone.conv1.weight") tensor.tensor = tensor.tensor.to(at::kByte);
  }
  const auto report = LoadBackbone(checkpoint, "backbone", model.get());
  EXPECT_THAT(report.status().message(),
              HasSubstr("backbone.conv1.weight: Byte in the checkpoint, Float in the model"));
  ExpectUntouched(*model);
}

TEST(LoadBackbone, ReportsWhatIsMissingAndWhatIsNotUsed) {
  const auto model = MakeModel(kResNet);
  const auto report = LoadBackbone(Checkpoint([](const std::string& name) -> std::string {
                                     if (name == "backbone.layer1.0.conv1.weight") {
                                       return "backbone.layer1.0.conv9.weight";
                                     }
                                     return name;
                                   }),
                                   "backbone", model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->missing, ElementsAre("backbone.layer1.0.conv1.weight"));
  EXPECT_THAT(report->unexpected, ElementsAre("backbone.layer1.0.conv9.weight"));
  EXPECT_EQ(report->Summary(),
            "119 tensors matched; 1 missing: backbone.layer1.0.conv1.weight; "
            "1 not used: backbone.layer1.0.conv9.weight");
}

TEST(LoadBackbone, DoesWithoutTheCountersThatOldCheckpointsLack) {
  const auto model = MakeModel(kResNet);
  const auto report = LoadBackbone(Checkpoint([](const std::string& name) {
                                     return absl::EndsWith(name, "num_batches_tracked") ? "" : name;
                                   }),
                                   "backbone", model.get());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->missing, IsEmpty());
  EXPECT_EQ(report->matched, 100);
}

TEST(LoadBackbone, AnotherNetworksShapesAreNamedAndLeaveTheModelAsItWas) {
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

TEST(LoadBackbone, WhenNothingFitsTheErrorShowsBothSidesAndThePrefixThatWouldDo) {
  const auto model = MakeModel(kResNet);
  const TensorList deep = Checkpoint([](const std::string& n) { return "model." + n; });
  for (const char* prefix : {"", "backbone", "modle.backbone"}) {
    const absl::Status status = LoadBackbone(deep, prefix, model.get()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("It has model.backbone.conv1.weight, "),
                      HasSubstr("They fit with prefix: \"model.backbone\"")));
  }
  EXPECT_EQ(LoadBackbone(Checkpoint(Torchvision), "backbone", model.get()).status().message(),
            "none of the checkpoint's names are the backbone's with prefix \"backbone\". It has "
            "conv1.weight, bn1.weight, bn1.bias, layer1.0.conv1.weight and 118 more; wanted are "
            "backbone.conv1.weight, backbone.bn1.weight, backbone.bn1.bias, "
            "backbone.layer1.0.conv1.weight and 116 more. They fit without a prefix");
  EXPECT_THAT(std::string(LoadBackbone({}, "", model.get()).status().message()),
              HasSubstr("It has no tensors; wanted are conv1.weight, "));
  EXPECT_THAT(
      std::string(LoadBackbone({{"a", at::zeros({1})}}, "", model.get()).status().message()),
      HasSubstr("It has a; wanted are conv1.weight, "));
  ExpectUntouched(*model);
}

TEST(LoadBackbone, DropsWhatWasFoldedFromTheWeightsBefore) {
  const at::Tensor images = ByFormula("images", {2, 3, 32, 32});
  const auto model = MakeModel(
      "backbone { resnet { depth: 18 base_channels: 4 } frozen_stages: 2 } head { num_classes: 3 "
      "}");
  const at::Tensor before = model->Forward(images, /*training=*/false);
  ASSERT_TRUE(LoadBackbone(Checkpoint(Same), "backbone", model.get()).ok());
  const at::Tensor after = model->Forward(images, /*training=*/false);
  model->ParametersChanged(/*all=*/true);
  EXPECT_TRUE(at::equal(after, model->Forward(images, /*training=*/false)));
  EXPECT_FALSE(at::equal(after, before));
}

TEST(LoadBackbone, OfLeNetPassesOverTheLayerOfTheClasses) {
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
        LoadClassifier(torchvision ? Checkpoint(Torchvision) : Checkpoint(Same), model.get());
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->matched, kBackboneTensors + 2);
    for (const NamedTensor& tensor : model->State()) {
      EXPECT_TRUE(IsLoaded(*model, tensor.name)) << tensor.name;
    }
  }
}

TEST(LoadClassifier, NeedsEveryTensorOfTheRightShapeAndElseTouchesNothing) {
  const auto model = MakeModel(kResNet);
  EXPECT_EQ(LoadClassifier(Checkpoint([](const std::string& name) {
                             return name == "head.fc.bias" ? "" : name;
                           }),
                           model.get())
                .status()
                .message(),
            "the checkpoint does not fit the model of the config: 121 tensors matched; 1 missing: "
            "head.fc.bias");
  const auto other_classes = LoadClassifier(
      Checkpoint(Same,
                 "backbone { resnet { depth: 18 base_channels: 4 } } head { num_classes: 7 }"),
      model.get());
  EXPECT_THAT(std::string(other_classes.status().message()),
              HasSubstr("head.fc.weight: [7, 32] in the checkpoint, [3, 32] in the model"));
  ExpectUntouched(*model);
}

}  // namespace
}  // namespace finetune
