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

// An image as its file has it, before it is turned.
struct StoredImage {
  int64_t height = 0;
  int64_t width = 0;
  int orientation = 1;  // EXIF's, 1 to 8
};

// A part of a stored image at a scale of `eighths` / 8: at that scale the image has its sides
// times that, rounded up, and `part` is a rectangle of those pixels.
struct StoredPart {
  int eighths = 8;
  ImageRectangle part;
};

// The decoder of one kind of file, used for one image after the other. Errors are DataLoss.
class KindDecoder {
 public:
  virtual ~KindDecoder() = default;
  // Reads all that stands before the pixels, and allocates nothing for them. `bytes` must stay
  // until ReadPixels() has returned.
  virtual absl::StatusOr<StoredImage> ReadHeader(absl::string_view bytes) = 0;
  // Lets ReadPixels() read no more of the image whose header was read last than is needed, where
  // the kind of file allows that, and returns the part that it will read. It covers all of the
  // needed part, and its sides are at least those that this will be resized to, unless the stored
  // ones are less. Nothing, the default: ReadPixels() reads the whole image. `need`: of the
  // image as it is stored.
  virtual std::optional<StoredPart> Choose(const NeededPart& need) { return std::nullopt; }
  // Reads the pixels [height, width, 3] of the image whose header was read last, or of the part
  // that Choose() returned. `warning`: set where what was read has faults and could be read all the
  // same.
  virtual absl::Status ReadPixels(uint8_t* pixels, std::string* warning) = 0;
};

std::unique_ptr<KindDecoder> MakeJpegDecoder();
std::unique_ptr<KindDecoder> MakePngDecoder();
std::unique_ptr<KindDecoder> MakeWebpDecoder();
std::unique_ptr<KindDecoder> MakeGifDecoder();
std::unique_ptr<KindDecoder> MakeTiffDecoder();
// BMP and PBM, PGM, PPM.
std::unique_ptr<KindDecoder> MakeBitmapDecoder();

}  // namespace finetune

#endif  // FINETUNE_DATA_DECODE_KIND_DECODER_H_
