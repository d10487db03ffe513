#ifndef FINETUNE_DATA_TRANSFORMS_AUGMENT_OPERATIONS_H_
#define FINETUNE_DATA_TRANSFORMS_AUGMENT_OPERATIONS_H_

#include <cstdint>

#include "src/base/philox.h"
#include "src/data/transforms/transform.h"
#include "src/data/transforms/warp.h"

namespace finetune {

// The operations of RandAugment, TrivialAugment and AutoAugment, as in torchvision. Each has a
// magnitude, which kIdentity, kAutoContrast, kEqualize and kInvert ignore. For the others its
// meaning is given beside the operation. The numbers of the enum are stored in the draws.
enum class AugmentOperation : int64_t {
  kIdentity = 0,
  kShearX,  // the tangent of the angle; also for kShearY
  kShearY,
  kTranslateX,  // whole pixels to the right
  kTranslateY,  // whole pixels down
  kRotate,      // degrees, counter-clockwise
  kBrightness,  // the factor - 1; also for the next three
  kColor,       // saturation
  kContrast,
  kSharpness,
  kPosterize,     // the number of upper bits that stay
  kSolarize,      // inverts values of at least magnitude * 255
  kAutoContrast,  // stretches each channel to 0 to 255
  kEqualize,      // equalizes each channel's histogram
  kInvert,        // 255 - value; AutoAugment's alone
};
// The number of operations that RandAugment and TrivialAugment choose from: all before kInvert.
inline constexpr int kAugmentOperations = 14;

// The largest magnitude of each kind of operation. Magnitudes go from 0 to this in equal steps.
struct AugmentRanges {
  double shear, translate_x, translate_y, rotate, factor;
  // The most bits that posterize removes.
  double bits;
};

// Returns the ranges of AutoAugment and RandAugment for an image of this shape.
AugmentRanges RangesOfRandAugment(const ImageShape& image);

// Returns whether an operation's magnitude may be negative. Its sign is then drawn.
bool HasSign(AugmentOperation operation);

// Returns the magnitude of an operation at `part`, 0 to 1, of its range. It is not negative.
double MagnitudeAt(AugmentOperation operation, const AugmentRanges& ranges, double part);

// Writes an operation to a transform's draws. `draws`: [kAugmentDraws].
void WriteAugment(AugmentOperation operation, double magnitude, int64_t* draws);

// How many of a transform's draws an operation uses: its AugmentOperation, and its magnitude as the
// bits of a float64.
inline constexpr int kAugmentDraws = 2;

// The largest bin, that is, the number of equal steps of a magnitude.
inline constexpr int kAugmentBins = 30;

// Draws an operation. Its magnitude is `bin` / kAugmentBins of the range, with a random sign where
// the operation has one. `bin`: 0 to kAugmentBins. `draws`: [kAugmentDraws].
void DrawAugment(const AugmentRanges& ranges, int bin, RandomStream* random, int64_t* draws);

// Applies the operation that DrawAugment() wrote to `draws`. kColor leaves an image of one channel
// as it is.
void ApplyAugment(const int64_t* draws, const WarpFilling& filling, Image* image);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_AUGMENT_OPERATIONS_H_
