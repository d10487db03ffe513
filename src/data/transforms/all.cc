#include "src/data/transforms/all.h"

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/data/transforms/auto_augment.h"
#include "src/data/transforms/color_jitter.h"
#include "src/data/transforms/crop.h"
#include "src/data/transforms/gaussian_blur.h"
#include "src/data/transforms/grayscale.h"
#include "src/data/transforms/lighting.h"
#include "src/data/transforms/rand_augment.h"
#include "src/data/transforms/random_erasing.h"
#include "src/data/transforms/random_flip.h"
#include "src/data/transforms/random_grayscale.h"
#include "src/data/transforms/random_resized_crop.h"
#include "src/data/transforms/random_rotation.h"
#include "src/data/transforms/resize.h"
#include "src/data/transforms/trivial_augment_wide.h"

namespace finetune {
namespace {

// Returns the names of all kinds of steps: "random_crop, random_flip, ...".
std::string KindNames() {
  const google::protobuf::OneofDescriptor* kinds =
      TransformConfig::descriptor()->FindOneofByName("kind");
  std::vector<std::string> names;
  for (int i = 0; i < kinds->field_count(); ++i) names.push_back(kinds->field(i)->name());
  return absl::StrJoin(names, ", ");
}

}  // namespace

std::unique_ptr<Transform> MakeTransform(const TransformConfig& config, const ImageShape& input,
                                         const Problems& problems) {
  // The switch has no default case, so that the compiler warns if a new kind is missing here.
  switch (config.kind_case()) {
    case TransformConfig::kRandomCrop:
      return MakeRandomCrop(config.random_crop(), input, problems.Within("random_crop"));
    case TransformConfig::kCenterCrop:
      return MakeCenterCrop(config.center_crop(), input, problems.Within("center_crop"));
    case TransformConfig::kRandomFlip:
      return MakeRandomFlip(config.random_flip(), input, problems.Within("random_flip"));
    case TransformConfig::kResize:
      return MakeResize(config.resize(), input, problems.Within("resize"));
    case TransformConfig::kGrayscale:
      return MakeGrayscale(config.grayscale(), input, problems.Within("grayscale"));
    case TransformConfig::kRandomGrayscale:
      return MakeRandomGrayscale(config.random_grayscale(), input,
                                 problems.Within("random_grayscale"));
    case TransformConfig::kRandomResizedCrop:
      return MakeRandomResizedCrop(config.random_resized_crop(), input,
                                   problems.Within("random_resized_crop"));
    case TransformConfig::kResizeEdge:
      return MakeResizeEdge(config.resize_edge(), input, problems.Within("resize_edge"));
    case TransformConfig::kColorJitter:
      return MakeColorJitter(config.color_jitter(), input, problems.Within("color_jitter"));
    case TransformConfig::kRandomErasing:
      return MakeRandomErasing(config.random_erasing(), input, problems.Within("random_erasing"));
    case TransformConfig::kGaussianBlur:
      return MakeGaussianBlur(config.gaussian_blur(), input, problems.Within("gaussian_blur"));
    case TransformConfig::kTrivialAugmentWide:
      return MakeTrivialAugmentWide(config.trivial_augment_wide(), input,
                                    problems.Within("trivial_augment_wide"));
    case TransformConfig::kRandAugment:
      return MakeRandAugment(config.rand_augment(), input, problems.Within("rand_augment"));
    case TransformConfig::kAutoAugment:
      return MakeAutoAugment(config.auto_augment(), input, problems.Within("auto_augment"));
    case TransformConfig::kLighting:
      return MakeLighting(config.lighting(), input, problems.Within("lighting"));
    case TransformConfig::kRandomRotation:
      return MakeRandomRotation(config.random_rotation(), input,
                                problems.Within("random_rotation"));
    case TransformConfig::kNormalize:
      problems.Error("normalize", "must be the pipeline's last step: the others work on pixels");
      return nullptr;
    case TransformConfig::KIND_NOT_SET:
      problems.Error("", absl::StrCat("is empty; expected one of ", KindNames()));
      return nullptr;
  }
  return nullptr;
}

std::string KindName(const TransformConfig& config) {
  const google::protobuf::FieldDescriptor* kind =
      config.kind_case() == TransformConfig::KIND_NOT_SET
          ? nullptr
          : TransformConfig::descriptor()->FindFieldByNumber(config.kind_case());
  return kind == nullptr ? "" : kind->name();
}

bool IsRandom(const TransformConfig& config) {
  // As in MakeTransform(), the compiler warns if a new kind is missing here.
  switch (config.kind_case()) {
    case TransformConfig::kRandomCrop:
    case TransformConfig::kRandomFlip:
    case TransformConfig::kRandomGrayscale:
    case TransformConfig::kRandomResizedCrop:
    case TransformConfig::kColorJitter:
    case TransformConfig::kRandomErasing:
    case TransformConfig::kGaussianBlur:
    case TransformConfig::kTrivialAugmentWide:
    case TransformConfig::kRandAugment:
    case TransformConfig::kAutoAugment:
    case TransformConfig::kLighting:
    case TransformConfig::kRandomRotation:
      return true;
    case TransformConfig::kCenterCrop:
    case TransformConfig::kResize:
    case TransformConfig::kGrayscale:
    case TransformConfig::kResizeEdge:
    case TransformConfig::kNormalize:
    case TransformConfig::KIND_NOT_SET:
      return false;
  }
  return false;
}

uint32_t StepStream(TransformConfig::KindCase kind, int before) {
  // The upper 24 bits are the kind's field number in TransformConfig, the lower 8 bits are
  // `before`.
  return static_cast<uint32_t>(kind) << 8 | static_cast<uint32_t>(before & 255);
}

}  // namespace finetune
