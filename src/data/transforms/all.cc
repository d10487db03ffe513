#include "src/data/transforms/all.h"

#include "src/data/transforms/crop.h"
#include "src/data/transforms/grayscale.h"
#include "src/data/transforms/random_flip.h"
#include "src/data/transforms/resize.h"

namespace finetune {

absl::StatusOr<std::unique_ptr<Transform>> MakeTransform(const TransformConfig& config,
                                                         const ImageShape& input) {
  // No default: the compiler names a kind that is missing here.
  switch (config.kind_case()) {
    case TransformConfig::kRandomCrop:
      return MakeRandomCrop(config.random_crop(), input);
    case TransformConfig::kCenterCrop:
      return MakeCenterCrop(config.center_crop(), input);
    case TransformConfig::kRandomFlip:
      return MakeRandomFlip(config.random_flip(), input);
    case TransformConfig::kResize:
      return MakeResize(config.resize(), input);
    case TransformConfig::kGrayscale:
      return MakeGrayscale(config.grayscale(), input);
    case TransformConfig::kNormalize:
      return absl::InvalidArgumentError("normalize must be the pipeline's last step");
    case TransformConfig::kRandomGrayscale:
      return absl::UnimplementedError("random_grayscale is not implemented yet");
    case TransformConfig::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("it is empty");
}

uint32_t StepStream(TransformConfig::KindCase kind, int before) {
  // The kind's field number, and up to 256 steps of it.
  return static_cast<uint32_t>(kind) << 8 | static_cast<uint32_t>(before & 255);
}

}  // namespace finetune
