#ifndef FINETUNE_DATA_TRANSFORMS_COLOR_H_
#define FINETUNE_DATA_TRANSFORMS_COLOR_H_

#include <cstddef>

namespace finetune {

// torchvision's operations on colours, for `pixels` pixels of values of 0 to 255, one after the
// other. Results are cut off at 0 and 255. `factor`: 1 leaves the image as it is.

// Towards black.
void AdjustBrightness(float factor, size_t pixels, int channels, float* values);
// Towards the mean of the image's grey.
void AdjustContrast(float factor, size_t pixels, int channels, float* values);
// Towards each pixel's grey. Of three channels.
void AdjustSaturation(float factor, size_t pixels, float* values);
// Turns the hue by this part of a full turn, -0.5 to 0.5, in the HSV colour space. Of three
// channels.
void AdjustHue(float turn, size_t pixels, float* values);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_COLOR_H_
