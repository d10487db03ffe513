#ifndef FINETUNE_DATA_DECODE_EXIF_H_
#define FINETUNE_DATA_DECODE_EXIF_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/data/image_part.h"

namespace finetune {

// The number that `size` bytes, at most 4, stand for, the most significant first.
inline uint32_t BigEndian(absl::string_view bytes, size_t at, int size) {
  uint32_t value = 0;
  for (int i = 0; i < size; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// The same, the least significant first.
inline uint32_t LittleEndian(absl::string_view bytes, size_t at, int size) {
  uint32_t value = 0;
  for (int i = size; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// The orientation in EXIF data, a TIFF file whose first folder has it as tag 0x0112: 1 to 8, and 1
// where there is none or the data are broken. TIFF 6.0 and EXIF 2.3 describe the layout.
int ExifOrientation(absl::string_view tiff);

// Whether an image of this orientation has its stored rows as columns.
bool IsTransposed(int orientation);

// The rectangle of the stored image that becomes `part` of the turned one, whose size is
// `turned`.
ImageRectangle StoredRectangle(const ImageRectangle& part, const ImageSize& turned,
                               int orientation);

// The place, in the turned image of size `turned`, of pixels that have been turned. `stored`: the
// rectangle that they were of the stored image, at `scale`.
PartPlace TurnedPlace(const ImageRectangle& stored, double scale, const ImageSize& turned,
                      int orientation);

// Turns pixels [height, width, 3] as an orientation of 2 to 8 says. `turned`: as many values, of
// [width, height, 3] where IsTransposed().
void Turn(const std::vector<uint8_t>& pixels, int height, int width, int orientation,
          std::vector<uint8_t>* turned);

}  // namespace finetune

#endif  // FINETUNE_DATA_DECODE_EXIF_H_
