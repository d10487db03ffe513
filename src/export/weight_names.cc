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
#include "src/model/swin_weights.h"

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
  // The package's layer names are finetune's without "backbone." or "head.", except those that
  // `roots` selects.
  bool flat = false;
  // Selects the package's names among those of Classifier::other_names(). An entry that ends in "."
  // selects the names that begin with it; any other entry selects the name that equals it.
  std::vector<std::string> roots = {};
  // The package's networks have 1x1 convolutions in place of the linear layers of blocks and of the
  // hidden layer before the head.
  bool has_pointwise_convolutions = false;
  // The package's Swin transformers join the channels of patches in the order of their authors.
  bool merges_as_authors = false;
  // The number of dimensions of the buffers "relative_position_index" that the package's Swin
  // transformers have beside their relative position biases; 0: they have none.
  int index_dims = 0;

  bool Has(const std::string& name) const {
    return absl::c_any_of(roots, [&](const std::string& root) {
      return root.back() == '.' ? absl::StartsWith(name, root) : name == root;
    });
  }
};

std::vector<Counterpart> OfResNet(const ResNetConfig& resnet, int classes) {
  const bool cifar = resnet.stem() == ResNetConfig::CIFAR,
             deep = resnet.stem() == ResNetConfig::DEEP;
  const bool caffe = resnet.style() == ResNetConfig::CAFFE;
  const int groups = resnet.groups(), width = resnet.width_per_group(), ratio = resnet.se_ratio();
  const int base = resnet.base_channels();
  const bool has_usual_blocks = groups == 1 && width == 64;
  std::vector<Counterpart> counterparts;
  if (!cifar && !caffe && base == 64) {
    if (!deep && !resnet.avg_down() && ratio == 0) {
      const std::string blocks =
          has_usual_blocks ? "" : absl::StrFormat("groups=%d, width_per_group=%d, ", groups, width);
      counterparts.push_back(
          {.package = WeightNames::kTorchvision,
           .network = absl::StrFormat("torchvision.models.resnet%d(%snum_classes=%d)",
                                      resnet.depth(), blocks, classes),
           .flat = true});
    }
    if (ratio == 0 || ratio == 16) {
      const std::string blocks =
          has_usual_blocks ? "" : absl::StrFormat("cardinality=%d, base_width=%d, ", groups, width);
      counterparts.push_back(
          {.package = WeightNames::kTimm,
           .network = absl::StrCat("timm.create_model(\"resnet", resnet.depth(), "\", ",
                                   deep ? "stem_type=\"deep\", stem_width=32, " : "",
                                   resnet.avg_down() ? "avg_down=True, " : "", blocks,
                                   ratio > 0 ? "block_args=dict(attn_layer=\"se\"), " : "",
                                   "num_classes=", classes, ")"),
           .flat = true,
           .roots = {"conv1.", "bn1", "layer1.", "layer2.", "layer3.", "layer4."}});
    }
  }
  // mmpretrain makes a bottleneck without groups wider by another expansion, and one with groups by
  // a width_per_group that counts from base_channels.
  const int bottleneck = base * width / 64;
  const bool is_wide = groups == 1 && width != 64;
  const bool is_known = has_usual_blocks || (groups > 1 && base == 64) ||
                        (is_wide && base * width % 64 == 0 && 4 * base % bottleneck == 0);
  if (is_known && !(cifar && (groups > 1 || ratio > 0))) {
    const std::string blocks =
        groups > 1 ? absl::StrFormat(", groups=%d, width_per_group=%d", groups, width)
                   : (is_wide ? absl::StrCat(", expansion=", 4 * base / bottleneck) : "");
    counterparts.push_back(
        {.package = WeightNames::kMmpretrain,
         .network = absl::StrFormat(
             "mmpretrain's %s%s(depth=%d, base_channels=%d, stem_channels=%d%s%s%s%s, "
             "style=\"%s\")",
             ratio > 0 ? "SE" : "", groups > 1 ? "ResNeXt" : (cifar ? "ResNet_CIFAR" : "ResNet"),
             resnet.depth(), is_wide ? bottleneck : base, base, blocks,
             deep ? ", deep_stem=True" : "", resnet.avg_down() ? ", avg_down=True" : "",
             ratio > 0 ? absl::StrCat(", se_ratio=", ratio) : "", caffe ? "caffe" : "pytorch"),
         .same = true});
  }
  return counterparts;
}

// Returns the roots of timm's names in MobileNetV2 and every EfficientNet. timm's networks that are
// called tf_... have TensorFlow's padding and epsilon, under the same names.
std::vector<std::string> TimmEfficientNetRoots() {
  return {"conv_stem", "bn1", "blocks.", "conv_head", "bn2", "classifier"};
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
         .roots = TimmEfficientNetRoots()});
  }
  return counterparts;
}

std::vector<Counterpart> OfEfficientNet(const EfficientNetConfig& efficientnet, int classes) {
  const bool from_tensorflow = efficientnet.origin() == EfficientNetConfig::TENSORFLOW;
  const int variant = efficientnet.variant();
  std::vector<Counterpart> counterparts = {
      {.package = WeightNames::kTimm,
       .network = absl::StrFormat("timm.create_model(\"%sefficientnet_b%d\", num_classes=%d)",
                                  from_tensorflow ? "tf_" : "", variant, classes),
       .roots = TimmEfficientNetRoots()}};
  if (from_tensorflow) {
    counterparts.push_back(
        {.package = WeightNames::kMmpretrain,
         .network = absl::StrFormat("mmpretrain's EfficientNet(arch=\"b%d\")", variant),
         .same = true});
  } else {
    counterparts.push_back(
        {.package = WeightNames::kTorchvision,
         .network = absl::StrFormat("torchvision.models.efficientnet_b%d(num_classes=%d)", variant,
                                    classes),
         .roots = {"features.", "classifier.1"}});
  }
  return counterparts;
}

std::vector<Counterpart> OfEfficientNetLite(const EfficientNetLiteConfig& efficientnet,
                                            int classes) {
  const bool from_tensorflow = efficientnet.origin() == EfficientNetLiteConfig::TENSORFLOW;
  return {
      {.package = WeightNames::kTimm,
       .network = absl::StrFormat("timm.create_model(\"%sefficientnet_lite%d\", num_classes=%d)",
                                  from_tensorflow ? "tf_" : "", efficientnet.variant(), classes),
       .roots = TimmEfficientNetRoots()}};
}

std::vector<Counterpart> OfMobileNetV3(const MobileNetV3Config& mobilenet, int classes) {
  const char* const size = mobilenet.variant() == MobileNetV3Config::LARGE ? "large" : "small";
  if (mobilenet.origin() != MobileNetV3Config::TORCHVISION) {
    const bool from_tensorflow = mobilenet.origin() == MobileNetV3Config::TENSORFLOW;
    return {
        {.package = WeightNames::kTimm,
         .network = absl::StrFormat("timm.create_model(\"%smobilenetv3_%s_100\", num_classes=%d)",
                                    from_tensorflow ? "tf_" : "", size, classes),
         .roots = {"conv_stem", "bn1", "blocks.", "conv_head", "classifier"},
         .has_pointwise_convolutions = true}};
  }
  return {{.package = WeightNames::kTorchvision,
           .network =
               absl::StrFormat("torchvision.models.mobilenet_v3_%s(num_classes=%d)", size, classes),
           .roots = {"features.", "classifier.0", "classifier.3"}},
          {.package = WeightNames::kMmpretrain,
           .network = absl::StrFormat("mmpretrain's MobileNetV3(arch=\"%s\")", size),
           .same = true}};
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

std::vector<Counterpart> OfVgg(const VggConfig& vgg, int classes) {
  // mmpretrain's VGG with hidden layers has them in the backbone.
  const bool has_hidden = vgg.hidden_features() == 4096;
  std::vector<Counterpart> counterparts;
  if (has_hidden) {
    counterparts.push_back(
        {.package = WeightNames::kTorchvision,
         .network =
             absl::StrFormat("torchvision.models.vgg%d_bn(num_classes=%d)", vgg.depth(), classes),
         .roots = {"features.", "classifier."}});
  }
  if (has_hidden || vgg.hidden_features() == 0) {
    counterparts.push_back(
        {.package = WeightNames::kMmpretrain,
         .network = absl::StrFormat("mmpretrain's VGG(depth=%d, norm_cfg=dict(type=\"BN\")%s)",
                                    vgg.depth(),
                                    has_hidden ? absl::StrCat(", num_classes=", classes) : ""),
         .same = true});
  }
  return counterparts;
}

std::vector<Counterpart> OfDenseNet(const DenseNetConfig& densenet, int classes) {
  // The names that torchvision's and timm's networks have, and not those of torchvision's files,
  // which have a dot before the number of a norm or convolution. The longest block of DenseNet-201
  // has 48 layers.
  std::vector<std::string> roots = {"features.conv0", "features.norm0", "features.norm5",
                                    "classifier"};
  for (int block = 1; block <= 4; ++block) {
    roots.push_back(absl::StrCat("features.transition", block, "."));
    for (int layer = 1; layer <= 48; ++layer) {
      for (const char* const part : {"norm1", "conv1", "norm2", "conv2"}) {
        roots.push_back(
            absl::StrCat("features.denseblock", block, ".denselayer", layer, ".", part));
      }
    }
  }
  const int depth = densenet.depth();
  return {
      {.package = WeightNames::kTorchvision,
       .network = absl::StrFormat("torchvision.models.densenet%d(num_classes=%d)", depth, classes),
       .roots = roots},
      {.package = WeightNames::kTimm,
       .network =
           absl::StrFormat("timm.create_model(\"densenet%d\", num_classes=%d)", depth, classes),
       .roots = roots},
      {.package = WeightNames::kMmpretrain,
       .network = absl::StrFormat("mmpretrain's DenseNet(arch=\"%d\")", depth),
       .same = true}};
}

// By RegNetConfig::Variant: the names of torchvision, timm and mmpretrain. nullptr: the package
// does not have the network.
struct RegNetNames {
  RegNetConfig::Variant variant;
  const char *torchvision, *timm, *mmpretrain;
};
constexpr RegNetNames kRegNets[] = {
    {RegNetConfig::X_400MF, nullptr, "regnetx_004", "regnetx_400mf"},
    {RegNetConfig::X_400MF_TORCHVISION, "regnet_x_400mf", "regnetx_004_tv", nullptr},
    {RegNetConfig::X_800MF, "regnet_x_800mf", "regnetx_008", "regnetx_800mf"},
    {RegNetConfig::X_1600MF, "regnet_x_1_6gf", "regnetx_016", "regnetx_1.6gf"},
    {RegNetConfig::X_3200MF, "regnet_x_3_2gf", "regnetx_032", "regnetx_3.2gf"},
    {RegNetConfig::X_8GF, "regnet_x_8gf", "regnetx_080", "regnetx_8.0gf"},
    {RegNetConfig::X_16GF, "regnet_x_16gf", "regnetx_160", nullptr},
    {RegNetConfig::Y_400MF, "regnet_y_400mf", "regnety_004", nullptr},
    {RegNetConfig::Y_800MF, nullptr, "regnety_008", nullptr},
    {RegNetConfig::Y_800MF_TORCHVISION, "regnet_y_800mf", "regnety_008_tv", nullptr},
    {RegNetConfig::Y_1600MF, "regnet_y_1_6gf", "regnety_016", nullptr},
    {RegNetConfig::Y_3200MF, "regnet_y_3_2gf", "regnety_032", nullptr},
    {RegNetConfig::Y_8GF, nullptr, "regnety_080", nullptr},
    {RegNetConfig::Y_8GF_TORCHVISION, "regnet_y_8gf", "regnety_080_tv", nullptr},
    {RegNetConfig::Y_16GF, "regnet_y_16gf", "regnety_160", nullptr},
};

std::vector<Counterpart> OfRegNet(const RegNetConfig& regnet, int classes) {
  std::vector<Counterpart> counterparts;
  for (const auto& [variant, torchvision, timm, mmpretrain] : kRegNets) {
    if (variant != regnet.variant()) continue;
    if (torchvision != nullptr) {
      counterparts.push_back({.package = WeightNames::kTorchvision,
                              .network = absl::StrFormat("torchvision.models.%s(num_classes=%d)",
                                                         torchvision, classes),
                              .roots = {"stem.0", "stem.1", "trunk_output.", "fc"}});
    }
    if (timm != nullptr) {
      counterparts.push_back(
          {.package = WeightNames::kTimm,
           .network = absl::StrFormat("timm.create_model(\"%s\", num_classes=%d)", timm, classes),
           .roots = {"stem.conv", "stem.bn", "s1.", "s2.", "s3.", "s4.", "head.fc"}});
    }
    if (mmpretrain != nullptr) {
      counterparts.push_back({.package = WeightNames::kMmpretrain,
                              .network = absl::StrFormat("mmpretrain's RegNet(\"%s\")", mmpretrain),
                              .same = true});
    }
  }
  return counterparts;
}

std::vector<Counterpart> OfVit(const VitConfig& vit, int classes) {
  std::vector<Counterpart> counterparts;
  const bool of_variant = !vit.has_width() && !vit.has_depth() && !vit.has_heads();
  if (!of_variant || vit.registers() > 0) return counterparts;
  const std::string size = absl::AsciiStrToLower(VitConfig::Variant_Name(vit.variant()));
  const bool has_scales = vit.layer_scale() > 0, averages = vit.pooling() == VitConfig::MEAN;
  const bool small = vit.variant() == VitConfig::SMALL || vit.variant() == VitConfig::TINY;
  const int patch = vit.patch_size();
  const char* const without_bias = vit.qkv_bias() ? "" : ", qkv_bias=False";
  counterparts.push_back(
      {.package = WeightNames::kMmpretrain,
       .network = absl::StrFormat(
           "mmpretrain's VisionTransformer(arch=\"%s%s\", img_size=%d, patch_size=%d%s%s%s)",
           small ? "deit-" : "", size, vit.image_size(), patch,
           has_scales ? absl::StrFormat(", layer_scale_init_value=%g", vit.layer_scale()) : "",
           averages ? ", out_type=\"avg_featmap\", final_norm=False" : "", without_bias),
       .same = true});
  const bool of_dino = patch == 14 && has_scales && vit.variant() != VitConfig::TINY;
  if (of_dino || patch == 16 || (patch == 32 && vit.variant() != VitConfig::TINY)) {
    counterparts.push_back(
        {.package = WeightNames::kTimm,
         .network = absl::StrFormat(
             "timm.create_model(\"vit_%s_patch%d_%s\", img_size=%d, num_classes=%d%s%s%s)", size,
             patch, of_dino ? "dinov2" : "224", vit.image_size(), classes,
             has_scales ? absl::StrFormat(", init_values=%g", vit.layer_scale()) : "",
             averages ? ", global_pool=\"avg\"" : "", without_bias),
         .roots = {"cls_token", "pos_embed", "patch_embed.proj", "blocks.", "norm", "fc_norm",
                   "head"}});
  }
  if (!small && (patch == 16 || patch == 32) && !has_scales && !averages && vit.qkv_bias()) {
    counterparts.push_back(
        {.package = WeightNames::kTorchvision,
         .network = absl::StrFormat("torchvision.models.vit_%c_%d(image_size=%d, num_classes=%d)",
                                    size[0], patch, vit.image_size(), classes),
         .roots = {"class_token", "conv_proj", "encoder.pos_embedding", "encoder.ln",
                   "encoder.layers.", "heads."}});
  }
  return counterparts;
}

std::vector<Counterpart> OfSwin(const SwinConfig& swin, int classes) {
  if (swin.has_width()) return {};
  const std::string size = absl::AsciiStrToLower(SwinConfig::Variant_Name(swin.variant()));
  const int window = swin.window_size();
  const bool is_wide = swin.variant() == SwinConfig::BASE || swin.variant() == SwinConfig::LARGE;
  std::vector<Counterpart> counterparts = {
      {.package = WeightNames::kMmpretrain,
       .network = absl::StrFormat("mmpretrain's SwinTransformer(arch=\"%s\"%s)", size,
                                  window == 7 ? "" : absl::StrCat(", window_size=", window)),
       .same = true,
       .index_dims = 2}};
  if (window == 7 && swin.variant() != SwinConfig::LARGE) {
    counterparts.push_back(
        {.package = WeightNames::kTorchvision,
         .network = absl::StrFormat("torchvision.models.swin_%c(num_classes=%d)", size[0], classes),
         .roots = {"features.", "norm", "head"},
         .merges_as_authors = true,
         .index_dims = 1});
  }
  if (window == 7 || (window == 12 && is_wide)) {
    counterparts.push_back({.package = WeightNames::kTimm,
                            .network = absl::StrFormat(
                                "timm.create_model(\"swin_%s_patch4_window%d_%d\", num_classes=%d)",
                                size, window, window == 7 ? 224 : 384, classes),
                            .roots = {"patch_embed.", "layers.", "norm", "head.fc"},
                            .merges_as_authors = true});
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
    case BackboneConfig::kMobilenetV3:
      return OfMobileNetV3(config.backbone().mobilenet_v3(), classes);
    case BackboneConfig::kEfficientnet:
      return OfEfficientNet(config.backbone().efficientnet(), classes);
    case BackboneConfig::kEfficientnetLite:
      return OfEfficientNetLite(config.backbone().efficientnet_lite(), classes);
    case BackboneConfig::kVgg:
      return OfVgg(config.backbone().vgg(), classes);
    case BackboneConfig::kDensenet:
      return OfDenseNet(config.backbone().densenet(), classes);
    case BackboneConfig::kRegnet:
      return OfRegNet(config.backbone().regnet(), classes);
    case BackboneConfig::kConvnext:
      return OfConvNeXt(config.backbone().convnext(), classes);
    case BackboneConfig::kVit:
      return OfVit(config.backbone().vit(), classes);
    case BackboneConfig::kSwin:
      return OfSwin(config.backbone().swin(), classes);
    case BackboneConfig::kLenet5:
      return {
          {.package = WeightNames::kMmpretrain, .network = "mmpretrain's LeNet5", .same = true}};
    default:
      return {};
  }
}

// Returns the name of a layer or tensor among `others` that is the package's; nullopt for none.
// `others`: the other names of each of finetune's layers and tensors.
std::optional<std::string> FindName(const Counterpart& counterpart, const std::string& ours,
                                    const std::multimap<std::string, std::string>& others) {
  const auto [begin, end] = others.equal_range(ours);
  const auto found =
      std::find_if(begin, end, [&](const auto& entry) { return counterpart.Has(entry.second); });
  return found == end ? std::nullopt : std::optional(found->second);
}

// Returns the package's name of a tensor, whose layer or which itself may have a name of the
// package among `others`. Returns nullopt if the package has no name for it.
std::optional<std::string> NameOf(const Counterpart& counterpart, const std::string& tensor,
                                  const std::multimap<std::string, std::string>& others) {
  if (counterpart.same) return tensor;
  if (auto name = FindName(counterpart, tensor, others); name.has_value()) return name;
  const std::string layer = LayerOf(tensor);
  if (const auto name = FindName(counterpart, layer, others); name.has_value()) {
    return absl::StrCat(*name, tensor.substr(layer.size()));
  }
  if (!counterpart.flat) return std::nullopt;
  absl::string_view name = tensor;
  if (!absl::ConsumePrefix(&name, "backbone.")) absl::ConsumePrefix(&name, "head.");
  return std::string(name);
}

// Returns the tensor in the form that it has in the package's network, where it has this name.
// `ours`: its name in finetune.
at::Tensor InFormOf(const Counterpart& counterpart, const std::string& name,
                    const std::string& ours, const at::Tensor& tensor) {
  if (counterpart.merges_as_authors && absl::StrContains(ours, ".downsample.")) {
    return FromUnfoldOrder(tensor.detach());
  }
  // torchvision multiplies maps [N, C, H, W] by its layer scales.
  if (absl::EndsWith(name, ".layer_scale")) return tensor.detach().view({-1, 1, 1});
  if (counterpart.has_pointwise_convolutions && tensor.dim() == 2 &&
      (absl::StrContains(name, ".mlp.") || name == "conv_head.weight")) {
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
    std::optional<std::string> name = NameOf(*counterpart, tensor.name, others);
    if (!name.has_value()) {
      return absl::InternalError(
          absl::StrCat("src/model gives ", tensor.name, " no name of ", ToText(names)));
    }
    absl::string_view attention = *name;
    if (counterpart->index_dims > 0 &&
        absl::ConsumeSuffix(&attention, ".relative_position_bias_table")) {
      const at::Tensor index = RelativePositionIndex(WindowOfBiasTable(tensor.tensor));
      state.tensors.push_back({absl::StrCat(attention, ".relative_position_index"),
                               counterpart->index_dims == 1 ? index.flatten() : index});
    }
    const at::Tensor formed = InFormOf(*counterpart, *name, tensor.name, tensor.tensor);
    state.tensors.push_back({*std::move(name), formed});
  }
  return state;
}

}  // namespace finetune
