#ifndef FINETUNE_DATA_TOOLS_RESAMPLE_H_
#define FINETUNE_DATA_TOOLS_RESAMPLE_H_

#include <string>

#include "src/base/status_macros.h"
#include "src/data/decode/decode.h"

namespace finetune {

// Scales an image (antialiased) so that its shorter side is `size`, and cuts out the square in its
// centre. An image whose shorter side is already `size` is only cut.
absl::StatusOr<DecodedImage> FitSquare(const DecodedImage& image, int size);

// Scales an image (antialiased) so that its longer side is `max_side`.
absl::StatusOr<DecodedImage> ScaleDown(const DecodedImage& image, int max_side);

// Encodes an image as JPEG. Chroma has half the height and width, as in most cameras' files.
// `quality`: 1 to 100.
absl::StatusOr<std::string> EncodeJpeg(const DecodedImage& image, int quality);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_RESAMPLE_H_
