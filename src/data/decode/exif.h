#ifndef FINETUNE_DATA_DECODE_EXIF_H_
#define FINETUNE_DATA_DECODE_EXIF_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/data/image_part.h"

namespace finetune {

// Returns the unsigned number in the `size` bytes (at most 4) from index `at` on, with the most
// significant byte first.
inline uint32_t BigEndian(absl::string_view bytes, size_t at, int size) {
  uint32_t value = 0;
  for (int i = 0; i < size; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// As BigEndian(), but with the least significant byte first.
inline uint32_t LittleEndian(absl::string_view bytes, size_t at, int size) {
  uint32_t value = 0;
  for (int i = size; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// Returns the orientation (1 to 8) that EXIF data give; 1, which means upright, if the data give
// none or are broken. EXIF data are a small TIFF file whose first directory has the orientation as
// tag 0x0112. TIFF 6.0 and EXIF 2.3 describe the layout.
int ExifOrientation(absl::string_view tiff);

// Returns whether turning an image of this orientation makes its rows columns, so that height and
// width change places.
bool IsTransposed(int orientation);

// Returns the rectangle of the stored image that becomes the rectangle `part` when the image is
// turned. `turned`: the size of the turned image.
ImageRectangle StoredRectangle(const ImageRectangle& part, const ImageSize& turned,
                               int orientation);

// Returns where the pixels of a rectangle of the stored image lie after they have been turned.
// `stored`: the rectangle, in pixels of the stored image at `scale`. `turned`: the size of the
// whole turned image at full scale.
PartPlace TurnedPlace(const ImageRectangle& stored, double scale, const ImageSize& turned,
                      int orientation);

// Turns and mirrors an image as its orientation says. `pixels`: [height, width, 3]. `turned`: gets
// the result, [height, width, 3], or [width, height, 3] if IsTransposed().
void Turn(const std::vector<uint8_t>& pixels, int height, int width, int orientation,
          std::vector<uint8_t>* turned);

}  // namespace finetune

#endif  // FINETUNE_DATA_DECODE_EXIF_H_
