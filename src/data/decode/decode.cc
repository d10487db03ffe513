#include "src/data/decode/decode.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/data/decode/exif.h"

namespace finetune {
namespace {

constexpr std::array<absl::string_view, kPictureKinds> kNames = {"JPEG", "PNG",  "WebP", "GIF",
                                                                 "BMP",  "TIFF", "PNM"};

std::unique_ptr<KindDecoder> MakeDecoder(PictureKind kind) {
  switch (kind) {
    case PictureKind::kJpeg:
      return MakeJpegDecoder();
    case PictureKind::kPng:
      return MakePngDecoder();
    case PictureKind::kWebp:
      return MakeWebpDecoder();
    case PictureKind::kGif:
      return MakeGifDecoder();
    case PictureKind::kTiff:
      return MakeTiffDecoder();
    case PictureKind::kBmp:
    case PictureKind::kPnm:
      break;
  }
  return MakeBitmapDecoder();
}

// A file of no kind that is read, for errors.
absl::string_view OtherKind(absl::string_view bytes) {
  if (bytes.empty()) return "empty";
  if (bytes.size() >= 12 && bytes.substr(4, 4) == "ftyp") {
    const absl::string_view brand = bytes.substr(8, 4);
    if (brand == "avif" || brand == "avis") return "an AVIF";
    if (brand == "heic" || brand == "heix" || brand == "mif1") return "a HEIC";
  }
  return "not a picture";
}

// As the picture is after it was turned.
PictureSize TurnedSize(const StoredPicture& stored) {
  const auto height = static_cast<int>(stored.height), width = static_cast<int>(stored.width);
  return IsTransposed(stored.orientation) ? PictureSize{width, height} : PictureSize{height, width};
}

}  // namespace

std::optional<PictureKind> KindOf(absl::string_view bytes) {
  if (absl::StartsWith(bytes, "\xff\xd8")) return PictureKind::kJpeg;
  if (absl::StartsWith(bytes, "\x89PNG")) return PictureKind::kPng;
  if (absl::StartsWith(bytes, "RIFF") && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP") {
    return PictureKind::kWebp;
  }
  if (absl::StartsWith(bytes, "GIF8")) return PictureKind::kGif;
  if (absl::StartsWith(bytes, "BM")) return PictureKind::kBmp;
  if (absl::StartsWith(bytes, absl::string_view("II*\0", 4)) ||
      absl::StartsWith(bytes, absl::string_view("MM\0*", 4))) {
    return PictureKind::kTiff;
  }
  if (bytes.size() >= 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6' &&
      absl::string_view(" \t\r\n#").find(bytes[2]) != absl::string_view::npos) {
    return PictureKind::kPnm;
  }
  return std::nullopt;
}

absl::string_view NameOf(PictureKind kind) { return kNames[static_cast<size_t>(kind)]; }

absl::StatusOr<PictureDecoder::Opened> PictureDecoder::Open(absl::string_view bytes) {
  const std::optional<PictureKind> kind = KindOf(bytes);
  if (!kind.has_value()) {
    return absl::DataLossError(absl::StrCat(
        "is ", OtherKind(bytes), "; expected a JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, PGM or PBM"));
  }
  std::unique_ptr<KindDecoder>& decoder = decoders_[static_cast<size_t>(*kind)];
  if (decoder == nullptr) decoder = MakeDecoder(*kind);
  Opened opened{decoder.get(), {}};
  FT_ASSIGN_OR_RETURN(opened.stored, decoder->ReadHeader(bytes));
  const int64_t height = opened.stored.height, width = opened.stored.width;
  // Each side is below 2^32, so the product fits.
  if (height < 1 || width < 1 || height > kMaxPixels || width > kMaxPixels ||
      height * width > kMaxPixels) {
    return absl::DataLossError(absl::StrCat("says that it is ", height, "x", width,
                                            " (height x width); at least 1 and at most ",
                                            kMaxPixels, " pixels are read"));
  }
  if (orientation_ == Orientation::kIgnore) opened.stored.orientation = 1;
  return opened;
}

absl::StatusOr<PictureSize> PictureDecoder::ReadSize(absl::string_view bytes) {
  FT_ASSIGN_OR_RETURN(const Opened opened, Open(bytes));
  return TurnedSize(opened.stored);
}

absl::Status PictureDecoder::Decode(absl::string_view bytes, Picture* picture) {
  FT_ASSIGN_OR_RETURN(const Opened opened, Open(bytes));
  return Read(opened, /*need=*/nullptr, picture);
}

absl::Status PictureDecoder::DecodePart(absl::string_view bytes, const PictureSize& size,
                                        const std::optional<NeededPart>& need, Picture* picture) {
  FT_ASSIGN_OR_RETURN(const Opened opened, Open(bytes));
  const PictureSize found = TurnedSize(opened.stored);
  if (found != size) {
    return absl::DataLossError(absl::StrCat("is ", found.height, "x", found.width,
                                            " (height x width); expected ", size.height, "x",
                                            size.width));
  }
  return Read(opened, need.has_value() ? &*need : nullptr, picture);
}

absl::Status PictureDecoder::Read(const Opened& opened, const NeededPart* need, Picture* picture) {
  const int orientation = opened.stored.orientation;
  picture->height = static_cast<int>(opened.stored.height);
  picture->width = static_cast<int>(opened.stored.width);
  picture->place.reset();
  if (need != nullptr) {
    const PictureSize turned = TurnedSize(opened.stored);
    NeededPart of_stored = {StoredRectangle(need->part, turned, orientation), need->resized};
    if (IsTransposed(orientation)) std::swap(of_stored.resized.height, of_stored.resized.width);
    if (const auto chosen = opened.decoder->Choose(of_stored); chosen.has_value()) {
      picture->height = chosen->part.height;
      picture->width = chosen->part.width;
      picture->place = TurnedPlace(chosen->part, chosen->eighths / 8.0, turned, orientation);
    }
  }
  picture->pixels.resize(size_t{3} * picture->width * picture->height);
  picture->warning.clear();
  FT_RETURN_IF_ERROR(opened.decoder->ReadPixels(picture->pixels.data(), &picture->warning));
  if (orientation == 1) return absl::OkStatus();
  Turn(picture->pixels, picture->height, picture->width, orientation, &turned_);
  picture->pixels.swap(turned_);
  if (IsTransposed(orientation)) std::swap(picture->height, picture->width);
  return absl::OkStatus();
}

absl::StatusOr<Picture> DecodePicture(const std::string& name, absl::string_view bytes,
                                      Orientation orientation) {
  PictureDecoder decoder(orientation);
  Picture picture;
  FT_RETURN_IF_ERROR(Annotate(decoder.Decode(bytes, &picture), name));
  return picture;
}

}  // namespace finetune
