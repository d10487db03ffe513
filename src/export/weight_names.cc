#include "src/export/weight_names.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace finetune {
namespace {

constexpr std::array<std::pair<WeightNames, const char*>, 4> kNames = {{
    {WeightNames::kFinetune, "finetune"},
    {WeightNames::kTorchvision, "torchvision"},
    {WeightNames::kTimm, "timm"},
    {WeightNames::kMmpretrain, "mmpretrain"},
}};

// The same network in another package, and how that package's layer names follow from finetune's.
struct Counterpart {
  WeightNames package;
  std::string network;  // RenamedState::network
  // The package's layer names are finetune's.
  bool same = false;
  // The package's layer names are finetune's without "backbone." or "head.".
  bool flat = false;
  // If neither `same` nor `flat` is set: selects the package's names among those of
  // Classifier::other_names(). An entry that ends in "." selects the names that begin with it; any
  // other entry selects the name that equals it.
  std::vector<std::string> roots = {};
  // The package's networks have 1x1 convolutions in place of the linear layers of blocks.
  bool has_pointwise_convolutions = false;

  bool Has(const std::string& name) const {
    return absl::c_any_of(roots, [&](const std::string& root) {
      return root.back() == '.' ? absl::StartsWith(name, root) : name == root;
    });
  }
};

std::vector<Counterpart> OfResNet(const ResNetConfig& resnet, int classes) {
  std::vector<Counterpart> counterparts;
  const bool imagenet = resnet.stem() == ResNetConfig::IMAGENET;
  const bool caffe = resnet.style() == ResNetConfig::CAFFE;
  if (imagenet && !caffe && resnet.base_channels() == 64) {
    counterparts.push_back(
        {.package = WeightNames::kTorchvision,
         .network = absl::StrFormat("torchvision.models.resnet%d(num_classes=%d)", resnet.depth(),
                                    classes),
         .flat = true});
    counterparts.push_back(
        {.package = WeightNames::kTimm,
         .network = absl::StrFormat("timm.create_model(\"resnet%d\", num_classes=%d)",
                                    resnet.depth(), classes),
         .flat = true});
  }
  counterparts.push_back(
      {.package = WeightNames::kMmpretrain,
       .network = absl::StrFormat(
           "mmpretrain's %s(depth=%d, base_channels=%d, stem_channels=%d, style=\"%s\")",
           imagenet ? "ResNet" : "ResNet_CIFAR", resnet.depth(), resnet.base_channels(),
           resnet.base_channels(), caffe ? "caffe" : "pytorch"),
       .same = true});
  return counterparts;
}

std::vector<Counterpart> OfMobileNetV2(const MobileNetV2Config& mobilenet, int classes) {
  const double width = mobilenet.width();
  std::vector<Counterpart> counterparts = {
      {.package = WeightNames::kTorchvision,
       .network = absl::StrFormat("torchvision.models.mobilenet_v2(width_mult=%g, num_classes=%d)",
                                  width, classes),
       .roots = {"features.", "classifier.1"}},
      {.package = WeightNames::kMmpretrain,
       .network = absl::StrFormat("mmpretrain's MobileNetV2(widen_factor=%g)", width),
       .same = true}};
  // The width multipliers, in percent, for which timm has a named MobileNetV2.
  constexpr std::array kTimmPercent = {35, 50, 75, 100, 140};
  const auto percent = static_cast<int>(std::lround(100 * width));
  if (absl::c_linear_search(kTimmPercent, percent) && std::abs(width * 100 - percent) < 1e-3) {
    counterparts.push_back(
        {.package = WeightNames::kTimm,
         .network = absl::StrFormat("timm.create_model(\"mobilenetv2_%03d\", num_classes=%d)",
                                    percent, classes),
         .roots = {"conv_stem", "bn1", "blocks.", "conv_head", "bn2", "classifier"}});
  }
  return counterparts;
}

std::vector<Counterpart> OfConvNeXt(const ConvNeXtConfig& convnext, int classes) {
  const bool v2 = convnext.version() == ConvNeXtConfig::V2;
  const std::string size = absl::AsciiStrToLower(ConvNeXtConfig::Variant_Name(convnext.variant()));
  const bool has_scales = !v2 && convnext.layer_scale_init() > 0;
  std::vector<Counterpart> counterparts = {
      {.package = WeightNames::kMmpretrain,
       .network = absl::StrFormat("mmpretrain's ConvNeXt(arch=\"%s\"%s%s)", size,
                                  v2 ? ", use_grn=True" : "",
                                  has_scales ? "" : ", layer_scale_init_value=0"),
       .same = true}};
  const bool is_small = convnext.variant() > ConvNeXtConfig::LARGE;
  if (has_scales && !is_small) {
    counterparts.push_back({.package = WeightNames::kTorchvision,
                            .network = absl::StrFormat(
                                "torchvision.models.convnext_%s(num_classes=%d)", size, classes),
                            .roots = {"features.", "classifier."}});
  }
  if (v2 || has_scales) {
    counterparts.push_back(
        {.package = WeightNames::kTimm,
         .network = absl::StrFormat("timm.create_model(\"convnext%s_%s\", num_classes=%d)",
                                    v2 ? "v2" : "", size, classes),
         .roots = {"stem.", "head.norm", "head.fc"},
         .has_pointwise_convolutions = is_small});
    // Names that begin with "stages." alone may also be the authors'.
    for (int stage = 0; stage < 4; ++stage) {
      for (const char* const part : {".blocks.", ".downsample."}) {
        counterparts.back().roots.push_back(absl::StrCat("stages.", stage, part));
      }
    }
  }
  return counterparts;
}

// Returns the counterparts of a network in the other packages. A network without a case here can be
// exported under finetune's names only.
std::vector<Counterpart> CounterpartsOf(const ModelConfig& config) {
  const int classes = config.head().num_classes();
  switch (config.backbone().kind_case()) {
    case BackboneConfig::kResnet:
      return OfResNet(config.backbone().resnet(), classes);
    case BackboneConfig::kMobilenetV2:
      return OfMobileNetV2(config.backbone().mobilenet_v2(), classes);
    case BackboneConfig::kConvnext:
      return OfConvNeXt(config.backbone().convnext(), classes);
    case BackboneConfig::kLenet5:
      return {
          {.package = WeightNames::kMmpretrain, .network = "mmpretrain's LeNet5", .same = true}};
    default:
      return {};
  }
}

// Returns the package's name of a layer or tensor. `others`: the other names of each of finetune's
// layers and tensors. Returns nullopt if `others` has no name of this package for it.
std::optional<std::string> NameOf(const Counterpart& counterpart, const std::string& layer,
                                  const std::multimap<std::string, std::string>& others) {
  if (counterpart.same) return layer;
  if (counterpart.flat) {
    absl::string_view name = layer;
    if (!absl::ConsumePrefix(&name, "backbone.")) absl::ConsumePrefix(&name, "head.");
    return std::string(name);
  }
  const auto [begin, end] = others.equal_range(layer);
  const auto found =
      std::find_if(begin, end, [&](const auto& entry) { return counterpart.Has(entry.second); });
  if (found == end) return std::nullopt;
  return found->second;
}

// Returns the tensor in the shape that it has in the package's network, where it has this name.
at::Tensor InShapeOf(const Counterpart& counterpart, const std::string& name,
                     const at::Tensor& tensor) {
  // torchvision multiplies maps [N, C, H, W] by its layer scales.
  if (absl::EndsWith(name, ".layer_scale")) return tensor.detach().view({-1, 1, 1});
  if (counterpart.has_pointwise_convolutions && tensor.dim() == 2 &&
      absl::StrContains(name, ".mlp.")) {
    return tensor.detach().view({tensor.size(0), tensor.size(1), 1, 1});
  }
  return tensor;
}

}  // namespace

std::vector<std::string> AllWeightNames() {
  std::vector<std::string> all;
  for (const auto& [names, text] : kNames) all.emplace_back(text);
  return all;
}

absl::StatusOr<WeightNames> ParseWeightNames(const std::string& text) {
  for (const auto& [names, known] : kNames) {
    if (text == known) return names;
  }
  return absl::InvalidArgumentError(absl::StrCat("found \"", text, "\"; expected one of ",
                                                 absl::StrJoin(AllWeightNames(), ", ")));
}

std::string ToText(WeightNames names) {
  return absl::c_find_if(kNames, [&](const auto& entry) { return entry.first == names; })->second;
}

absl::StatusOr<RenamedState> RenameState(const Classifier& model, const ModelConfig& config,
                                         WeightNames names) {
  if (names == WeightNames::kFinetune) return RenamedState{model.State(), ""};
  const std::vector<Counterpart> counterparts = CounterpartsOf(config);
  const auto counterpart =
      absl::c_find_if(counterparts, [&](const auto& one) { return one.package == names; });
  if (counterpart == counterparts.end()) {
    std::vector<std::string> possible = {ToText(WeightNames::kFinetune)};
    for (const Counterpart& one : counterparts) possible.push_back(ToText(one.package));
    BackboneConfig network = config.backbone();
    network.clear_pretrained();
    network.clear_frozen_stages();
    network.clear_norm_eval();
    return absl::InvalidArgumentError(absl::StrCat(
        "found ", ToText(names), ", which does not have the network of model.backbone { ",
        network.ShortDebugString(), " }; expected ", absl::StrJoin(possible, " or ")));
  }
  std::multimap<std::string, std::string> others;
  for (const auto& [other, ours] : model.other_names()) others.emplace(ours, other);
  RenamedState state;
  state.network = counterpart->network;
  for (const NamedTensor& tensor : model.State()) {
    // The tensor itself has a name of the package, or its layer has one.
    std::optional<std::string> name = NameOf(*counterpart, tensor.name, others);
    if (!name.has_value()) {
      const std::string own = LayerOf(tensor.name);
      name = NameOf(*counterpart, own, others);
      if (name.has_value()) absl::StrAppend(&*name, tensor.name.substr(own.size()));
    }
    if (!name.has_value()) {
      return absl::InternalError(
          absl::StrCat("src/model gives ", tensor.name, " no name of ", ToText(names)));
    }
    const at::Tensor shaped = InShapeOf(*counterpart, *name, tensor.tensor);
    state.tensors.push_back({*std::move(name), shaped});
  }
  return state;
}

}  // namespace finetune
