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
  // The decoder's warning about a picture that it could read all the same; empty for most.
  std::string warning;
};

// Whether a picture is turned as its EXIF orientation says.
enum class Orientation { kApply, kIgnore };

// Decodes a JPEG or PNG, told apart by content, to the RGB that Pillow's convert("RGB") gives:
// alpha is dropped, gamma and colour profiles are ignored, 16 bits a channel are cut to 8, and CMYK
// is taken for Adobe's, which stores it inverted. `name` is for errors.
// Errors: DataLoss with the decoder's reason, for a picture whose end is missing, and where the
// header asks for more than 2^26 pixels.
absl::StatusOr<Picture> DecodePicture(const std::string& name, const std::string& bytes,
                                      Orientation orientation = Orientation::kApply);

// Scales (antialiased) so that the shorter side is `size`, and cuts out the middle. A picture whose
// shorter side is `size` already is not resampled.
absl::StatusOr<Picture> FitSquare(const Picture& picture, int size);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_DECODE_H_
