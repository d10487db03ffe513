#ifndef FINETUNE_DATA_IMAGE_SIZE_H_
#define FINETUNE_DATA_IMAGE_SIZE_H_

#include <cstdint>

namespace finetune {

// The most pixels that an image may have. A file's header can claim any size, so decoders check it
// against this limit before they allocate memory. An image of this size needs 192 MiB for its
// pixels, and up to three times as much within a decoder. The largest images of ImageNet have 61
// million pixels.
inline constexpr int64_t kMaxPixels = int64_t{1} << 26;

// The size of an image in pixels.
struct ImageSize {
  int height = 0;
  int width = 0;
  bool operator==(const ImageSize&) const = default;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_IMAGE_SIZE_H_
