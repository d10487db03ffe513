#include "src/model/backbones.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "src/config/problems.h"
#include "src/model/convnext.h"
#include "src/model/densenet.h"
#include "src/model/efficientnet.h"
#include "src/model/efficientnet_v2.h"
#include "src/model/lenet.h"
#include "src/model/mobilenet_v2.h"
#include "src/model/mobilenet_v3.h"
#include "src/model/regnet.h"
#include "src/model/resnet.h"
#include "src/model/swin.h"
#include "src/model/vgg.h"
#include "src/model/vit.h"

namespace finetune {
namespace {

// Makes the network of the config's `kind`. A new network needs a case here.
std::unique_ptr<Backbone> Make(const BackboneConfig& config, const Problems& problems) {
  switch (config.kind_case()) {
    case BackboneConfig::kResnet:
      return MakeResNet(config, problems);
    case BackboneConfig::kLenet5:
      return MakeLeNet5(config);
    case BackboneConfig::kEfficientnetLite:
      return MakeEfficientNetLite(config, problems);
    case BackboneConfig::kMobilenetV2:
      return MakeMobileNetV2(config, problems);
    case BackboneConfig::kMobilenetV3:
      return MakeMobileNetV3(config);
    case BackboneConfig::kEfficientnet:
      return MakeEfficientNet(config, problems);
    case BackboneConfig::kConvnext:
      return MakeConvNeXt(config, problems);
    case BackboneConfig::kVit:
      return MakeVit(config, problems);
    case BackboneConfig::kSwin:
      return MakeSwin(config, problems);
    case BackboneConfig::kVgg:
      return MakeVgg(config, problems);
    case BackboneConfig::kRegnet:
      return MakeRegNet(config);
    case BackboneConfig::kDensenet:
      return MakeDenseNet(config, problems);
    case BackboneConfig::kEfficientnetV2:
      return MakeEfficientNetV2(config, problems);
    case BackboneConfig::KIND_NOT_SET:
      break;
  }
  std::string kinds;
  const auto* const kind = BackboneConfig::descriptor()->FindOneofByName("kind");
  for (int i = 0; i < kind->field_count(); ++i) {
    absl::StrAppend(&kinds, i == 0 ? "" : ", ", kind->field(i)->name());
  }
  problems.Error("", absl::StrCat("has no kind; set one of ", kinds));
  return nullptr;
}

}  // namespace

std::unique_ptr<Backbone> MakeBackbone(const BackboneConfig& config, const Problems& problems) {
  std::unique_ptr<Backbone> backbone = Make(config, problems);
  if (backbone != nullptr) backbone->CheckFrozenStages(problems);
  return backbone;
}

}  // namespace finetune
