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
#include "src/data/picture_part.h"
#include "src/data/picture_size.h"

namespace finetune {

// Pixels, [height, width, 3].
struct Picture {
  int height = 0;
  int width = 0;
  std::vector<uint8_t> pixels;
  // Where these pixels are only a part of a picture; see PictureDecoder::DecodePart().
  std::optional<PartPlace> place;
  // The decoder's warning about a picture that it could read all the same; empty for most.
  std::string warning;
};

// Whether a picture is turned as its EXIF orientation says.
enum class Orientation { kApply, kIgnore };

// The kinds of files that are read.
enum class PictureKind { kJpeg, kPng, kWebp, kGif, kBmp, kTiff, kPnm };
inline constexpr int kPictureKinds = 7;

// Returns the kind that the first bytes tell; nothing for a file that is not a picture, or one of a
// kind that is not read. 16 bytes are enough.
std::optional<PictureKind> KindOf(absl::string_view bytes);

// "JPEG", "PNG" and so on.
absl::string_view NameOf(PictureKind kind);

// Decodes pictures to the RGB that Pillow's convert("RGB") gives: alpha is dropped, gamma and
// colour profiles are ignored, 16 bits a channel are cut to 8, CMYK JPEGs are taken for Adobe's,
// which stores it inverted, and an animated GIF is its first frame. Content tells the kind.
//
// One a thread: it keeps its decoders and their memory from picture to picture.
//
// Errors of all methods are DataLoss with the reason: a picture that is damaged, whose end is
// missing, which has more than kMaxPixels, or is of another kind.
class PictureDecoder {
 public:
  explicit PictureDecoder(Orientation orientation = Orientation::kApply)
      : orientation_(orientation) {}

  // Returns the size that Decode() gives, from the header. Finds a JPEG or PNG without its end too.
  absl::StatusOr<PictureSize> ReadSize(absl::string_view bytes);

  // Decodes into `picture`, whose memory is used again.
  absl::Status Decode(absl::string_view bytes, Picture* picture);

  // The same for a picture whose size, turned, is known. Where `need` says that only a part of it
  // is needed, decodes a part that covers this one, if the kind of file allows it, and says its
  // place in the picture. JPEGs do: rows and columns beyond the part are left out, and where it
  // will be resized to half its size or less, they are decoded at 1/2, 1/4 or 1/8 of the size, the
  // smallest that is still as large as the resized part. Pixels that are not scaled are those of
  // Decode() to the bit. Damage beyond the part may not be found.
  absl::Status DecodePart(absl::string_view bytes, const PictureSize& size,
                          const std::optional<NeededPart>& need, Picture* picture);

 private:
  struct Opened {
    KindDecoder* decoder = nullptr;
    StoredPicture stored;
  };
  absl::StatusOr<Opened> Open(absl::string_view bytes);
  // `need`: null for the whole picture.
  absl::Status Read(const Opened& opened, const NeededPart* need, Picture* picture);

  Orientation orientation_;
  // By kind, made when the first picture of the kind comes.
  std::array<std::unique_ptr<KindDecoder>, kPictureKinds> decoders_;
  std::vector<uint8_t> turned_;
};

// One picture. `name` is for errors.
absl::StatusOr<Picture> DecodePicture(const std::string& name, absl::string_view bytes,
                                      Orientation orientation = Orientation::kApply);

}  // namespace finetune

#endif  // FINETUNE_DATA_DECODE_DECODE_H_
