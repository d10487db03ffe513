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

// The part of an image that a pipeline needs, and the size to which the pipeline will resize this
// part. A decoder may then decode only this part, and at a smaller scale.
struct NeededPart {
  // A rectangle of the whole image, of at least one pixel.
  ImageRectangle part;
  // The size after resizing. 0x0 means that the pixels are needed as they are, so the image must
  // not be decoded at a smaller scale.
  ImageSize resized;
};

// Where decoded pixels lie in the whole image, if only a part of the image was decoded or the image
// was decoded at a smaller scale. The point (y, x) of the whole image is the point (y * scale -
// top, x * scale - left) of the decoded pixels. In both systems pixel (i, j) covers [i, i + 1) x
// [j, j + 1).
struct PartPlace {
  // The size of the whole image at full scale.
  ImageSize whole;
  // The scale at which the image was decoded: a multiple of 1/8, at most 1. At 1 `top` and `left`
  // are whole numbers.
  double scale = 1;
  double top = 0;
  double left = 0;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_IMAGE_PART_H_
