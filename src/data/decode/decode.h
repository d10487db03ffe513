#ifndef FINETUNE_DATA_DECODE_DECODE_H_
#define FINETUNE_DATA_DECODE_DECODE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/data/decode/kind_decoder.h"
#include "src/data/image_part.h"
#include "src/data/image_size.h"

namespace finetune {

// Pixels, [height, width, 3].
struct DecodedImage {
  int height = 0;
  int width = 0;
  std::vector<uint8_t> pixels;
  // Where these pixels are only a part of an image; see ImageDecoder::DecodePart().
  std::optional<PartPlace> place;
  // The decoder's warning about an image that it could read all the same; empty for most.
  std::string warning;
};

// Whether an image is turned as its EXIF orientation says.
enum class Orientation { kApply, kIgnore };

// The kinds of files that are read.
enum class ImageKind { kJpeg, kPng, kWebp, kGif, kBmp, kTiff, kPnm };
inline constexpr int kImageKinds = 7;

// Returns the kind that the first bytes tell; nothing for a file that is not an image, or one of a
// kind that is not read. 16 bytes are enough.
std::optional<ImageKind> KindOf(absl::string_view bytes);

// "JPEG", "PNG" and so on.
absl::string_view NameOf(ImageKind kind);

// Decodes images to the RGB that Pillow's convert("RGB") gives: alpha is dropped, gamma and
// colour profiles are ignored, 16 bits a channel are cut to 8, CMYK JPEGs are taken for Adobe's,
// which stores it inverted, and an animated GIF is its first frame. Content tells the kind.
//
// One a thread: it keeps its decoders and their memory from image to image.
//
// Errors of all methods are DataLoss with the reason: an image that is damaged, whose end is
// missing, which has more than kMaxPixels, or is of another kind.
class ImageDecoder {
 public:
  explicit ImageDecoder(Orientation orientation = Orientation::kApply)
      : orientation_(orientation) {}

  // Returns the size that Decode() gives, from the header. Finds a JPEG or PNG without its end too.
  absl::StatusOr<ImageSize> ReadSize(absl::string_view bytes);

  // Decodes into `image`, whose memory is used again.
  absl::Status Decode(absl::string_view bytes, DecodedImage* image);

  // The same for an image whose size, turned, is known. Where `need` says that only a part of it
  // is needed, decodes a part that covers this one, if the kind of file allows it, and says its
  // place in the image. JPEGs do: rows and columns beyond the part are left out, and where it
  // will be resized to half its size or less, they are decoded at 1/2, 1/4 or 1/8 of the size, the
  // smallest that is still as large as the resized part. Pixels that are not scaled are those of
  // Decode() to the bit. Damage beyond the part may not be found.
  absl::Status DecodePart(absl::string_view bytes, const ImageSize& size,
                          const std::optional<NeededPart>& need, DecodedImage* image);

 private:
  struct Opened {
    KindDecoder* decoder = nullptr;
    StoredImage stored;
  };
  absl::StatusOr<Opened> Open(absl::string_view bytes);
  // `need`: null for the whole image.
  absl::Status Read(const Opened& opened, const NeededPart* need, DecodedImage* image);

  Orientation orientation_;
  // By kind, made when the first image of the kind comes.
  std::array<std::unique_ptr<KindDecoder>, kImageKinds> decoders_;
  std::vector<uint8_t> turned_;
};

// One image. `name` is for errors.
absl::StatusOr<DecodedImage> DecodeImage(const std::string& name, absl::string_view bytes,
                                         Orientation orientation = Orientation::kApply);

}  // namespace finetune

#endif  // FINETUNE_DATA_DECODE_DECODE_H_
