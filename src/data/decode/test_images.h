#ifndef FINETUNE_DATA_DECODE_TEST_IMAGES_H_
#define FINETUNE_DATA_DECODE_TEST_IMAGES_H_

#include <cstdint>
#include <string>
#include <vector>

namespace finetune {

// Functions that make encoded images for tests.

// Returns a PNG of colour type `color` (0 grey, 2 RGB, 3 palette, 6 RGBA) with `depth` bits a
// channel. `rows`: the rows' bytes, each row after its filter byte.
std::string Png(uint32_t height, uint32_t width, int depth, int color, const std::string& rows,
                const std::string& palette = "");
// Returns a PNG whose pixels all have one colour.
std::string FlatPng(uint32_t height, uint32_t width, uint8_t red, uint8_t green, uint8_t blue);
struct JpegOptions {
  // As libjpeg-turbo's name of it says how many values of colour there are: "4:4:4", "4:2:2",
  // "4:2:0", "4:4:0", "4:1:1", or "grey" for none.
  std::string subsampling = "4:4:4";
  bool progressive = false;
  // EXIF's; 1 leaves it out.
  int orientation = 1;
};
// `rgb`: [height, width, 3].
std::string Jpeg(int height, int width, const std::vector<uint8_t>& rgb,
                 const JpegOptions& options = {});
std::string FlatJpeg(int height, int width, uint8_t grey);

}  // namespace finetune

#endif  // FINETUNE_DATA_DECODE_TEST_IMAGES_H_
