#ifndef FINETUNE_BASE_ENCODE_IMAGE_H_
#define FINETUNE_BASE_ENCODE_IMAGE_H_

#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "src/base/status_macros.h"

namespace finetune {

// An image in memory: rows from top to bottom, with the channels of a pixel side by side.
struct PixelView {
  absl::Span<const uint8_t> pixels;  // [height, width, channels]
  int height = 0;
  int width = 0;
  int channels = 0;  // 1 (grey) or 3 (red, green, blue)
};

// Returns the image as a PNG file. Errors: Internal if libpng fails.
absl::StatusOr<std::string> EncodePng(const PixelView& image);

// Returns the image as a JPEG file. Chroma is stored with half the height and width (4:2:0), as in
// most cameras' files. `quality`: 1 to 100. Errors: Internal if libjpeg-turbo fails.
absl::StatusOr<std::string> EncodeJpeg(const PixelView& image, int quality);

}  // namespace finetune

#endif  // FINETUNE_BASE_ENCODE_IMAGE_H_
