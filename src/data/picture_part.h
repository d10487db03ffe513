#ifndef FINETUNE_DATA_PICTURE_PART_H_
#define FINETUNE_DATA_PICTURE_PART_H_

#include "src/data/picture_size.h"

namespace finetune {

// A rectangle of a picture, in pixels.
struct PictureRectangle {
  int top = 0;
  int left = 0;
  int height = 0;
  int width = 0;
  bool operator==(const PictureRectangle&) const = default;
};

// The part of a picture that is needed, and the size that it will be resized to.
struct NeededPart {
  // Of the whole picture. Has a pixel at least.
  PictureRectangle part;
  // 0x0: the pixels themselves are needed, so a picture must not be decoded at a smaller scale.
  PictureSize resized;
};

// Says where pixels lie in the picture that they are a part of, or all of at a smaller scale. Its
// point (y, x) is the point (y * scale - top, x * scale - left) of these pixels, of which pixel
// (i, j) covers [i, i + 1) x [j, j + 1).
struct PartPlace {
  // Of the picture.
  PictureSize whole;
  // Eighths, at most 1. At 1 `top` and `left` are integers.
  double scale = 1;
  double top = 0;
  double left = 0;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_PICTURE_PART_H_
