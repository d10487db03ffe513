#ifndef FINETUNE_DATA_IMAGE_PART_H_
#define FINETUNE_DATA_IMAGE_PART_H_

#include "src/data/image_size.h"

namespace finetune {

// A rectangle of an image, in pixels.
struct ImageRectangle {
  int top = 0;
  int left = 0;
  int height = 0;
  int width = 0;
  bool operator==(const ImageRectangle&) const = default;
};

// The part of an image that is needed, and the size that it will be resized to.
struct NeededPart {
  // Of the whole image. Has a pixel at least.
  ImageRectangle part;
  // 0x0: the pixels themselves are needed, so an image must not be decoded at a smaller scale.
  ImageSize resized;
};

// Says where pixels lie in the image that they are a part of, or all of at a smaller scale. Its
// point (y, x) is the point (y * scale - top, x * scale - left) of these pixels, of which pixel
// (i, j) covers [i, i + 1) x [j, j + 1).
struct PartPlace {
  // Of the image.
  ImageSize whole;
  // Eighths, at most 1. At 1 `top` and `left` are integers.
  double scale = 1;
  double top = 0;
  double left = 0;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_IMAGE_PART_H_
