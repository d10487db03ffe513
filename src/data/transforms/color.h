#ifndef FINETUNE_DATA_TRANSFORMS_COLOR_H_
#define FINETUNE_DATA_TRANSFORMS_COLOR_H_

#include <cstddef>

namespace finetune {

// The colour operations of torchvision, in place. `values`: [pixels, channels], from 0 to 255;
// results are clamped to this range. The first three blend each value with another value: result =
// factor * value + (1 - factor) * other. So with factor 1 the image does not change, with 0 it
// becomes the other value, and above 1 it moves away from it.

// Blends the image with black (0).
void AdjustBrightness(float factor, size_t pixels, int channels, float* values);
// Blends the image with its mean grey value.
void AdjustContrast(float factor, size_t pixels, int channels, float* values);
// Blends each pixel with its own grey value. `values`: [pixels, 3].
void AdjustSaturation(float factor, size_t pixels, float* values);
// Turns the hue of each pixel in the HSV colour space. `turn`: the angle as a part of a full turn,
// -0.5 to 0.5. `values`: [pixels, 3].
void AdjustHue(float turn, size_t pixels, float* values);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_COLOR_H_
