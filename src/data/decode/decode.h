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

// A decoded image, or a part of one. `pixels`: [height, width, 3], RGB.
struct DecodedImage {
  int height = 0;
  int width = 0;
  std::vector<uint8_t> pixels;
  // Set if these pixels are only a part of the image or were decoded at a smaller scale: where they
  // lie in the whole image. See ImageDecoder::DecodePart().
  std::optional<PartPlace> place;
  // The decoder's warning about a fault of the file that did not keep it from decoding the image;
  // usually empty.
  std::string warning;
};

// Whether a decoded image is turned or mirrored as its EXIF orientation says (kApply), or left as
// it is stored.
enum class Orientation { kApply, kIgnore };

// The file formats that ImageDecoder reads.
enum class ImageKind { kJpeg, kPng, kWebp, kGif, kBmp, kTiff, kPnm };
inline constexpr int kImageKinds = 7;

// Recognizes the format of a file by its first bytes; 16 bytes are enough. Returns nullopt if the
// file is not of one of these formats.
std::optional<ImageKind> KindOf(absl::string_view bytes);

// Returns "JPEG", "PNG" and so on.
absl::string_view NameOf(ImageKind kind);

// Decodes images to the RGB pixels that Pillow's convert("RGB") gives. Alpha is dropped. Gamma and
// colour profiles are ignored. 16 bits a channel are cut to the upper 8. The values of CMYK JPEGs
// are taken as inverted, as Adobe's programs store them. Of an animated GIF the first frame is
// decoded. The format is recognized by the file's content, not by its name.
//
// Each thread needs its own ImageDecoder, which should be used for many images: it keeps its memory
// from image to image.
//
// Errors of all methods: DataLoss with the reason, if the image is damaged, its end is missing, it
// has more than kMaxPixels, or it is not of a known format.
class ImageDecoder {
 public:
  explicit ImageDecoder(Orientation orientation = Orientation::kApply)
      : orientation_(orientation) {}

  // Reads the size of the image that Decode() would return (after turning) from the file's header.
  // A JPEG or PNG whose end is missing is an error here too.
  absl::StatusOr<ImageSize> ReadSize(absl::string_view bytes);

  // Decodes the file `bytes` into `image`, whose memory is reused.
  absl::Status Decode(absl::string_view bytes, DecodedImage* image);

  // As Decode(), but may decode only the part of the image that is needed. `size`: the image's size
  // after turning; another size in the file is an error. `need`: the part that is needed, in the
  // turned image; nullopt for the whole image.
  //
  // In a JPEG it decodes only a part, which covers need->part, and sets image->place. If that part
  // will be resized to half its size or less, it decodes at scale 1/2, 1/4 or 1/8: the smallest at
  // which the part is not smaller than need->resized. At full scale the pixels are exactly those of
  // Decode(). Damage outside the decoded part may not be noticed. Files of other formats are
  // decoded as a whole.
  absl::Status DecodePart(absl::string_view bytes, const ImageSize& size,
                          const std::optional<NeededPart>& need, DecodedImage* image);

 private:
  struct Opened {
    KindDecoder* decoder = nullptr;
    StoredImage stored;
  };
  // Recognizes the format, reads the header and checks the size.
  absl::StatusOr<Opened> Open(absl::string_view bytes);
  // Decodes the image whose header Open() has read. `need`: null for the whole image.
  absl::Status Read(const Opened& opened, const NeededPart* need, DecodedImage* image);

  Orientation orientation_;
  // The decoder of each format, by ImageKind. Null until the first image of that format.
  std::array<std::unique_ptr<KindDecoder>, kImageKinds> decoders_;
  std::vector<uint8_t> turned_;
};

// Decodes one image. `name`: the file's name for errors. For many images use an ImageDecoder, which
// is faster.
absl::StatusOr<DecodedImage> DecodeImage(const std::string& name, absl::string_view bytes,
                                         Orientation orientation = Orientation::kApply);

}  // namespace finetune

#endif  // FINETUNE_DATA_DECODE_DECODE_H_
