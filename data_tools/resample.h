#ifndef FINETUNE_DATA_TOOLS_RESAMPLE_H_
#define FINETUNE_DATA_TOOLS_RESAMPLE_H_

#include "src/base/status_macros.h"
#include "src/data/decode/decode.h"

namespace finetune {

// Scales an image (antialiased) so that its shorter side is `size` pixels, and returns the square
// in its centre. If the shorter side is `size` already, the image is not scaled. Errors:
// InvalidArgument if the scaled image would have more than kMaxPixels.
absl::StatusOr<DecodedImage> FitSquare(const DecodedImage& image, int size);

// Returns the image scaled (antialiased) so that its longer side is `max_side` pixels.
absl::StatusOr<DecodedImage> ScaleDown(const DecodedImage& image, int max_side);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_RESAMPLE_H_
