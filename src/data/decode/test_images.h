#ifndef FINETUNE_DATA_DECODE_TEST_IMAGES_H_
#define FINETUNE_DATA_DECODE_TEST_IMAGES_H_

#include <cstdint>
#include <string>
#include <vector>

namespace finetune {

// Functions that make encoded images for tests.

// Returns a PNG file of colour type `color` (0 grey, 2 RGB, 3 palette, 6 RGBA) with `depth` bits a
// channel. `rows`: the bytes of all rows; each row begins with its filter byte. `palette`: the
// bytes of the PLTE chunk, or empty.
std::string Png(uint32_t height, uint32_t width, int depth, int color, const std::string& rows,
                const std::string& palette = "");
// Returns a PNG file whose pixels all have one colour.
std::string FlatPng(uint32_t height, uint32_t width, uint8_t red, uint8_t green, uint8_t blue);
struct JpegOptions {
  // The chroma subsampling: "4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1", or "grey" for a JPEG
  // without colour.
  std::string subsampling = "4:4:4";
  bool progressive = false;
  // The EXIF orientation to write. 1: no EXIF data are written.
  int orientation = 1;
};
// Returns a JPEG file of quality 95. `rgb`: [height, width, 3].
std::string Jpeg(int height, int width, const std::vector<uint8_t>& rgb,
                 const JpegOptions& options = {});
std::string FlatJpeg(int height, int width, uint8_t grey);

}  // namespace finetune

#endif  // FINETUNE_DATA_DECODE_TEST_IMAGES_H_
