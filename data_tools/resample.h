#ifndef FINETUNE_DATA_TOOLS_RESAMPLE_H_
#define FINETUNE_DATA_TOOLS_RESAMPLE_H_

#include <string>

#include "src/base/status_macros.h"
#include "src/data/decode/decode.h"

namespace finetune {

// Scales a picture (antialiased) so that its shorter side is `size`, and cuts out the square in its
// centre. A picture whose shorter side is already `size` is only cut.
absl::StatusOr<Picture> FitSquare(const Picture& picture, int size);

// Scales a picture (antialiased) so that its longer side is `max_side`.
absl::StatusOr<Picture> ScaleDown(const Picture& picture, int max_side);

// Encodes a picture as JPEG. Chroma has half the height and width, as in most cameras' files.
// `quality`: 1 to 100.
absl::StatusOr<std::string> EncodeJpeg(const Picture& picture, int quality);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_RESAMPLE_H_
