#ifndef FINETUNE_DATA_TOOLS_RESAMPLE_H_
#define FINETUNE_DATA_TOOLS_RESAMPLE_H_

#include <string>

#include "src/base/status_macros.h"
#include "src/data/decode/decode.h"

namespace finetune {

// Scales (antialiased) so that the shorter side is `size`, and cuts out the middle. A picture whose
// shorter side is `size` already is not resampled.
absl::StatusOr<Picture> FitSquare(const Picture& picture, int size);

// Scales (antialiased) so that the longer side is `max_side`.
absl::StatusOr<Picture> ScaleDown(const Picture& picture, int max_side);

// Encodes as JPEG with chroma at half its size, as cameras do. `quality`: 1 to 100.
absl::StatusOr<std::string> EncodeJpeg(const Picture& picture, int quality);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_RESAMPLE_H_
