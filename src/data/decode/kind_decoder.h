#ifndef FINETUNE_DATA_DECODE_KIND_DECODER_H_
#define FINETUNE_DATA_DECODE_KIND_DECODER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/data/image_part.h"

namespace finetune {

// The size of an image as it is stored in its file, before it is turned, and the orientation by
// which it is to be turned.
struct StoredImage {
  int64_t height = 0;
  int64_t width = 0;
  int orientation = 1;  // EXIF orientation, 1 to 8
};

// A part of a stored image at the scale `eighths` / 8. At this scale the image's sides are its full
// sides times the scale, rounded up. `part` is a rectangle in pixels of the scaled image.
struct StoredPart {
  int eighths = 8;
  ImageRectangle part;
};

// Decodes files of one format, one image after the other. For each image ReadHeader() is called,
// then perhaps Choose(), then perhaps ReadPixels(). Errors: DataLoss.
class KindDecoder {
 public:
  virtual ~KindDecoder() = default;
  // Reads the file's header, without allocating memory for the pixels, so that the caller can check
  // the size first. `bytes` must stay valid until ReadPixels() has returned.
  virtual absl::StatusOr<StoredImage> ReadHeader(absl::string_view bytes) = 0;
  // Chooses which part of the image, and at which scale, ReadPixels() will read, and returns it.
  // The part covers need.part. At the chosen scale need.part is at least as large as need.resized,
  // except if it is smaller at full scale already. Returns nullopt if ReadPixels() will read the
  // whole image at full scale, which is what formats do that cannot do otherwise. `need`: in pixels
  // of the image as it is stored.
  virtual std::optional<StoredPart> Choose(const NeededPart& need) { return std::nullopt; }
  // Reads the pixels [height, width, 3] of the whole image, or of the part that Choose() returned.
  // `warning`: set if the data have a fault that did not keep the decoder from reading them.
  virtual absl::Status ReadPixels(uint8_t* pixels, std::string* warning) = 0;
};

std::unique_ptr<KindDecoder> MakeJpegDecoder();
std::unique_ptr<KindDecoder> MakePngDecoder();
std::unique_ptr<KindDecoder> MakeWebpDecoder();
std::unique_ptr<KindDecoder> MakeGifDecoder();
std::unique_ptr<KindDecoder> MakeTiffDecoder();
// Decodes BMP, PBM, PGM and PPM.
std::unique_ptr<KindDecoder> MakeBitmapDecoder();

}  // namespace finetune

#endif  // FINETUNE_DATA_DECODE_KIND_DECODER_H_
