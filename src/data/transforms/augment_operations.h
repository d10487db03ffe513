#ifndef FINETUNE_DATA_TRANSFORMS_AUGMENT_OPERATIONS_H_
#define FINETUNE_DATA_TRANSFORMS_AUGMENT_OPERATIONS_H_

#include <cstdint>

#include "src/base/philox.h"
#include "src/data/transforms/transform.h"
#include "src/data/transforms/warp.h"

namespace finetune {

// The operations of RandAugment, TrivialAugment and AutoAugment, as in torchvision. Each operation
// has a magnitude, whose meaning is given beside it. kIdentity, kAutoContrast, kEqualize and
// kInvert ignore it. The numbers of the enum are stored in draws and must not change.
enum class AugmentOperation : int64_t {
  kIdentity = 0,
  kShearX,  // the tangent of the angle; also for kShearY
  kShearY,
  kTranslateX,  // pixels to the right, a whole number
  kTranslateY,  // pixels down, a whole number
  kRotate,      // degrees, counter-clockwise
  kBrightness,  // the factor of color.h, minus 1; also for the next three
  kColor,       // saturation
  kContrast,
  kSharpness,
  kPosterize,     // the number of upper bits of each value that stay
  kSolarize,      // values of at least magnitude * 255 are inverted
  kAutoContrast,  // stretches each channel to 0 to 255
  kEqualize,      // equalizes each channel's histogram
  kInvert,        // 255 - value; only AutoAugment uses it
};
// The number of operations that RandAugment and TrivialAugment choose from: all before kInvert.
inline constexpr int kAugmentOperations = 14;

// The largest magnitude of each kind of operation. `factor` is that of brightness, colour, contrast
// and sharpness.
struct AugmentRanges {
  double shear, translate_x, translate_y, rotate, factor;
  // The largest number of bits that posterize removes from each value.
  double bits;
};

// Returns the magnitude ranges of AutoAugment and RandAugment for an image of this shape.
AugmentRanges RangesOfRandAugment(const ImageShape& image);

// Returns whether an operation's magnitude may be negative. If so, the caller draws its sign.
bool HasSign(AugmentOperation operation);

// Returns an operation's magnitude, 0 or more, at the part `part` of its range. `part`: 0, the
// weakest effect, to 1, the strongest.
double MagnitudeAt(AugmentOperation operation, const AugmentRanges& ranges, double part);

// Writes an operation and its magnitude to `draws`, [kAugmentDraws].
void WriteAugment(AugmentOperation operation, double magnitude, int64_t* draws);

// The number of draws that one operation uses: its AugmentOperation, then its magnitude as the bits
// of a float64.
inline constexpr int kAugmentDraws = 2;

// The number of equal steps from 0 to the largest magnitude. A bin is the number of a step, 0 to
// kAugmentBins.
inline constexpr int kAugmentBins = 30;

// Draws a random operation. Its magnitude is bin / kAugmentBins times the largest one of `ranges`,
// with a random sign if the operation works in both directions. (For posterize and solarize a
// larger bin is a stronger effect, and so a smaller magnitude.) `draws`: [kAugmentDraws].
void DrawAugment(const AugmentRanges& ranges, int bin, RandomStream* random, int64_t* draws);

// Applies to `image` the operation that WriteAugment() or DrawAugment() wrote to `draws`.
// `filling`: how the geometric operations fill pixels. kColor does not change an image of one
// channel.
void ApplyAugment(const int64_t* draws, const WarpFilling& filling, Image* image);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_AUGMENT_OPERATIONS_H_
