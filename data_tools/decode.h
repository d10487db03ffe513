#ifndef FINETUNE_DATA_TOOLS_DECODE_H_
#define FINETUNE_DATA_TOOLS_DECODE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"

namespace finetune {

// Pixels, [height, width, 3].
struct Picture {
  int height = 0;
  int width = 0;
  std::vector<uint8_t> pixels;
};

// Decodes a JPEG or PNG, told apart by content, to RGB; what is transparent becomes black. Errors:
// DataLoss with the decoder's reason, and where the header asks for more than 2^26 pixels; `name`
// is for them.
absl::StatusOr<Picture> DecodePicture(const std::string& name, const std::string& bytes);

// Scales (antialiased) so that the shorter side is `size`, and cuts out the middle.
absl::StatusOr<Picture> FitSquare(const Picture& picture, int size);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_DECODE_H_
