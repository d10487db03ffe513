#ifndef FINETUNE_DATA_TRANSFORMS_COLOR_H_
#define FINETUNE_DATA_TRANSFORMS_COLOR_H_

#include <cstddef>

namespace finetune {

// The colour operations of torchvision. `values`: [pixels, channels], from 0 to 255. Results are
// clamped to 0 to 255. `factor`: 1 keeps the image; 0 gives the colour that is named below; above 1
// moves away from it.

// Blends the image with black.
void AdjustBrightness(float factor, size_t pixels, int channels, float* values);
// Blends the image with the mean of its grey values.
void AdjustContrast(float factor, size_t pixels, int channels, float* values);
// Blends each pixel with its own grey value. `values`: [pixels, 3].
void AdjustSaturation(float factor, size_t pixels, float* values);
// Turns the hue in the HSV colour space. `turn`: the part of a full turn, -0.5 to 0.5. `values`:
// [pixels, 3].
void AdjustHue(float turn, size_t pixels, float* values);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_COLOR_H_
