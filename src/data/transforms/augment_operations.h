#ifndef FINETUNE_DATA_TRANSFORMS_AUGMENT_OPERATIONS_H_
#define FINETUNE_DATA_TRANSFORMS_AUGMENT_OPERATIONS_H_

#include <cstdint>

#include "src/base/philox.h"
#include "src/data/transforms/transform.h"
#include "src/data/transforms/warp.h"

namespace finetune {

// The operations that RandAugment and TrivialAugment choose from, as torchvision has them. Each has
// a magnitude, of which some make no use. The numbers are those of the draws.
enum class AugmentOperation : int64_t {
  kIdentity = 0,
  kShearX,  // the tangent of the angle
  kShearY,
  kTranslateX,  // whole pixels to the right
  kTranslateY,  // whole pixels down
  kRotate,      // degrees, counter-clockwise
  kBrightness,  // the factor less 1, also of the next three
  kColor,       // saturation
  kContrast,
  kSharpness,
  kPosterize,     // the number of upper bits that stay
  kSolarize,      // turns values from this part of 255 on into their negative
  kAutoContrast,  // each channel spread to 0 to 255
  kEqualize,      // each channel's histogram made even
};
inline constexpr int kAugmentOperations = 14;

// The ranges of the operations' magnitudes: each goes in even steps from 0 to this.
struct AugmentRanges {
  double shear, translate_x, translate_y, rotate, factor;
  // How many bits posterize takes away at most.
  double bits;
};

// The numbers that an operation takes of a transform's draws: the operation, and its magnitude as
// the bits of float64.
inline constexpr int kAugmentDraws = 2;

// Strengths are 0 to this.
inline constexpr int kAugmentBins = 30;

// Draws an operation; its magnitude is that of `bin`, 0 to kAugmentBins, with a random sign where
// it has one.
void DrawAugment(const AugmentRanges& ranges, int bin, RandomStream* random, int64_t* draws);

// Applies it. An image of one channel has no colour.
void ApplyAugment(const int64_t* draws, const WarpFilling& filling, Image* image);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_AUGMENT_OPERATIONS_H_
