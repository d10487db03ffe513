#include "src/data/batch_transforms/all.h"

#include "src/data/batch_transforms/cutmix.h"
#include "src/data/batch_transforms/mixup.h"

namespace finetune {

std::unique_ptr<BatchTransform> MakeBatchTransform(const BatchTransformConfig& config,
                                                   const Problems& problems) {
  // The switch has no default case, so that the compiler warns if a new kind is missing here.
  switch (config.kind_case()) {
    case BatchTransformConfig::kMixup:
      return MakeMixup(config.mixup(), problems.Within("mixup"));
    case BatchTransformConfig::kCutmix:
      return MakeCutMix(config.cutmix(), problems.Within("cutmix"));
    case BatchTransformConfig::KIND_NOT_SET:
      problems.Error("", "has no kind; set mixup { } or cutmix { }");
      return nullptr;
  }
  return nullptr;
}

}  // namespace finetune
