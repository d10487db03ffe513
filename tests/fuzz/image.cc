// Fuzzes the image decoders. The input's content decides its format.
#include "src/data/decode/decode.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes = finetune::Text(data, size);
  finetune::ImageDecoder decoder;
  const auto image_size = decoder.ReadSize(bytes);
  // A few bytes may describe a huge image, whose decoding would take most of the fuzzer's time.
  if (!image_size.ok() || int64_t{image_size->height} * image_size->width > 1 << 20) return 0;
  finetune::DecodedImage image;
  if (decoder.Decode(bytes, &image).ok()) {
    finetune::Expect(image.height == image_size->height && image.width == image_size->width,
                     "an image has the size that ReadSize() says");
    finetune::Expect(image.pixels.size() == size_t{3} * image.height * image.width,
                     "an image has all its pixels");
  }
  finetune::NeededPart need;
  need.part.height = (image_size->height + 1) / 2;
  need.part.width = (image_size->width + 1) / 2;
  need.resized = {(need.part.height + 3) / 4, (need.part.width + 3) / 4};
  (void)decoder.DecodePart(bytes, *image_size, need, &image);
  return 0;
}
