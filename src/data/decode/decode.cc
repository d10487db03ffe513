// Recognizes the format of an image file and decodes the file with the KindDecoder of that format.
//
// Problem: files come from anywhere and may be damaged or hostile, the formats differ in what they
// can do, and images may have to be turned by their EXIF orientation.
//
// Method, for each file: KindOf() recognizes the format. KindDecoder::ReadHeader() returns the
// image's size, which is compared with kMaxPixels before memory is allocated. If only a part is
// needed, KindDecoder::Choose() tells which part and scale the format can decode. ReadPixels()
// decodes, and Turn() turns the pixels.
//
// Coordinates: "stored" means the image as it lies in the file, "turned" means after the
// orientation was applied. Callers give and get turned coordinates, a KindDecoder stored ones.
// exif.h converts between them.
//
// Tests: decode_test compares with Pillow, with truncated files and with flipped bytes.
#include "src/data/decode/decode.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/data/decode/exif.h"

namespace finetune {
namespace {

constexpr std::array<absl::string_view, kImageKinds> kNames = {"JPEG", "PNG",  "WebP", "GIF",
                                                               "BMP",  "TIFF", "PNM"};

std::unique_ptr<KindDecoder> MakeDecoder(ImageKind kind) {
  switch (kind) {
    case ImageKind::kJpeg:
      return MakeJpegDecoder();
    case ImageKind::kPng:
      return MakePngDecoder();
    case ImageKind::kWebp:
      return MakeWebpDecoder();
    case ImageKind::kGif:
      return MakeGifDecoder();
    case ImageKind::kTiff:
      return MakeTiffDecoder();
    case ImageKind::kBmp:
    case ImageKind::kPnm:
      break;
  }
  return MakeBitmapDecoder();
}

// Describes a file that KindOf() does not recognize, for errors.
absl::string_view OtherKind(absl::string_view bytes) {
  if (bytes.empty()) return "empty";
  if (bytes.size() >= 12 && bytes.substr(4, 4) == "ftyp") {
    const absl::string_view brand = bytes.substr(8, 4);
    if (brand == "avif" || brand == "avis") return "an AVIF";
    if (brand == "heic" || brand == "heix" || brand == "mif1") return "a HEIC";
  }
  return "not an image";
}

// Returns the size of the image after it has been turned.
ImageSize TurnedSize(const StoredImage& stored) {
  const auto height = static_cast<int>(stored.height), width = static_cast<int>(stored.width);
  return IsTransposed(stored.orientation) ? ImageSize{width, height} : ImageSize{height, width};
}

}  // namespace

std::optional<ImageKind> KindOf(absl::string_view bytes) {
  if (absl::StartsWith(bytes, "\xff\xd8")) return ImageKind::kJpeg;
  if (absl::StartsWith(bytes, "\x89PNG")) return ImageKind::kPng;
  if (absl::StartsWith(bytes, "RIFF") && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP") {
    return ImageKind::kWebp;
  }
  if (absl::StartsWith(bytes, "GIF8")) return ImageKind::kGif;
  if (absl::StartsWith(bytes, "BM")) return ImageKind::kBmp;
  if (absl::StartsWith(bytes, absl::string_view("II*\0", 4)) ||
      absl::StartsWith(bytes, absl::string_view("MM\0*", 4))) {
    return ImageKind::kTiff;
  }
  if (bytes.size() >= 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6' &&
      absl::string_view(" \t\r\n#").find(bytes[2]) != absl::string_view::npos) {
    return ImageKind::kPnm;
  }
  return std::nullopt;
}

absl::string_view NameOf(ImageKind kind) { return kNames[static_cast<size_t>(kind)]; }

absl::StatusOr<ImageDecoder::Opened> ImageDecoder::Open(absl::string_view bytes) {
  const std::optional<ImageKind> kind = KindOf(bytes);
  if (!kind.has_value()) {
    return absl::DataLossError(absl::StrCat(
        "is ", OtherKind(bytes), "; expected a JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, PGM or PBM"));
  }
  std::unique_ptr<KindDecoder>& decoder = decoders_[static_cast<size_t>(*kind)];
  if (decoder == nullptr) decoder = MakeDecoder(*kind);
  Opened opened{decoder.get(), {}};
  FT_ASSIGN_OR_RETURN(opened.stored, decoder->ReadHeader(bytes));
  const int64_t height = opened.stored.height, width = opened.stored.width;
  // The sides are compared first, so that their product fits int64.
  if (height < 1 || width < 1 || height > kMaxPixels || width > kMaxPixels ||
      height * width > kMaxPixels) {
    return absl::DataLossError(absl::StrCat("says that it is ", height, "x", width,
                                            " (height x width); at least 1 and at most ",
                                            kMaxPixels, " pixels are read"));
  }
  if (orientation_ == Orientation::kIgnore) opened.stored.orientation = 1;
  return opened;
}

absl::StatusOr<ImageSize> ImageDecoder::ReadSize(absl::string_view bytes) {
  FT_ASSIGN_OR_RETURN(const Opened opened, Open(bytes));
  return TurnedSize(opened.stored);
}

absl::Status ImageDecoder::Decode(absl::string_view bytes, DecodedImage* image) {
  FT_ASSIGN_OR_RETURN(const Opened opened, Open(bytes));
  return Read(opened, /*need=*/nullptr, image);
}

absl::Status ImageDecoder::DecodePart(absl::string_view bytes, const ImageSize& size,
                                      const std::optional<NeededPart>& need, DecodedImage* image) {
  FT_ASSIGN_OR_RETURN(const Opened opened, Open(bytes));
  const ImageSize found = TurnedSize(opened.stored);
  if (found != size) {
    return absl::DataLossError(absl::StrCat("is ", found.height, "x", found.width,
                                            " (height x width); expected ", size.height, "x",
                                            size.width));
  }
  return Read(opened, need.has_value() ? &*need : nullptr, image);
}

absl::Status ImageDecoder::Read(const Opened& opened, const NeededPart* need, DecodedImage* image) {
  const int orientation = opened.stored.orientation;
  image->height = static_cast<int>(opened.stored.height);
  image->width = static_cast<int>(opened.stored.width);
  image->place.reset();
  if (need != nullptr) {
    const ImageSize turned = TurnedSize(opened.stored);
    NeededPart of_stored = {StoredRectangle(need->part, turned, orientation), need->resized};
    if (IsTransposed(orientation)) std::swap(of_stored.resized.height, of_stored.resized.width);
    if (const auto chosen = opened.decoder->Choose(of_stored); chosen.has_value()) {
      image->height = chosen->part.height;
      image->width = chosen->part.width;
      image->place = TurnedPlace(chosen->part, chosen->eighths / 8.0, turned, orientation);
    }
  }
  image->pixels.resize(size_t{3} * image->width * image->height);
  image->warning.clear();
  FT_RETURN_IF_ERROR(opened.decoder->ReadPixels(image->pixels.data(), &image->warning));
  if (orientation == 1) return absl::OkStatus();
  Turn(image->pixels, image->height, image->width, orientation, &turned_);
  image->pixels.swap(turned_);
  if (IsTransposed(orientation)) std::swap(image->height, image->width);
  return absl::OkStatus();
}

absl::StatusOr<DecodedImage> DecodeImage(const std::string& name, absl::string_view bytes,
                                         Orientation orientation) {
  ImageDecoder decoder(orientation);
  DecodedImage image;
  FT_RETURN_IF_ERROR(Annotate(decoder.Decode(bytes, &image), name));
  return image;
}

}  // namespace finetune
