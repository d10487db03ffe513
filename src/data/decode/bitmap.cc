// Decodes BMP, PBM, PGM and PPM with Leptonica. Of the libraries in Debian it is the only
// well-maintained one that reads all of them from memory, and it is fuzzed continuously. It depends
// on libwebp, libtiff and giflib, which this folder uses anyway. The size is first read by code in
// this file, because Leptonica allocates memory before it tells the size.

#include <leptonica/allheaders.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "src/data/decode/exif.h"
#include "src/data/decode/kind_decoder.h"

namespace finetune {
namespace {

std::optional<StoredImage> BmpHeader(absl::string_view bytes) {
  constexpr size_t kInfoSize = 14, kWidth = 18, kHeight = 22, kLeast = 54;
  if (bytes.size() < kLeast || LittleEndian(bytes, kInfoSize, 4) < 40) return std::nullopt;
  // The height may be negative, which only means that the file stores the top row first.
  const auto height = static_cast<int32_t>(LittleEndian(bytes, kHeight, 4));
  const auto width = static_cast<int32_t>(LittleEndian(bytes, kWidth, 4));
  return StoredImage{std::abs(int64_t{height}), width, 1};
}

// Reads the width and then the height: the two numbers after the first two characters, such as
// "P6". White space and comments may stand before each number.
std::optional<StoredImage> PnmHeader(absl::string_view bytes) {
  size_t at = 2;
  std::array<int64_t, 2> sides = {};
  for (int64_t& side : sides) {
    while (at < bytes.size() && (absl::ascii_isspace(bytes[at]) || bytes[at] == '#')) {
      if (bytes[at] == '#')
        at = std::min(bytes.find('\n', at), bytes.size());
      else
        ++at;
    }
    if (at == bytes.size() || !absl::ascii_isdigit(bytes[at])) return std::nullopt;
    for (; at < bytes.size() && absl::ascii_isdigit(bytes[at]); ++at) {
      side = side * 10 + (bytes[at] - '0');
      if (side > INT32_MAX) return std::nullopt;
    }
  }
  return StoredImage{sides[1], sides[0], 1};
}

struct Destroy {
  void operator()(Pix* pix) const { pixDestroy(&pix); }
};
using OwnedPix = std::unique_ptr<Pix, Destroy>;

class BitmapDecoder final : public KindDecoder {
 public:
  BitmapDecoder() {
    // Switch off Leptonica's messages: they go to stderr and say no more than that decoding failed.
    [[maybe_unused]] static const l_int32 silent = setMsgSeverity(L_SEVERITY_NONE);
  }

  absl::StatusOr<StoredImage> ReadHeader(absl::string_view bytes) override {
    bytes_ = bytes;
    const std::optional<StoredImage> header =
        absl::StartsWith(bytes, "BM") ? BmpHeader(bytes) : PnmHeader(bytes);
    if (!header.has_value()) return Broken();
    header_ = *header;
    return *header;
  }

  absl::Status ReadPixels(uint8_t* pixels, std::string* warning) override {
    const OwnedPix stored(
        pixReadMem(reinterpret_cast<const l_uint8*>(bytes_.data()), bytes_.size()));
    if (stored == nullptr) return Broken();
    // Converts grey images, palettes and 16 bits a channel to RGB.
    const OwnedPix rgb(pixConvertTo32(stored.get()));
    if (rgb == nullptr || pixGetHeight(rgb.get()) != header_.height ||
        pixGetWidth(rgb.get()) != header_.width) {
      return Broken();
    }
    const l_uint32* row = pixGetData(rgb.get());
    for (int64_t y = 0; y < header_.height; ++y, row += pixGetWpl(rgb.get())) {
      for (int64_t x = 0; x < header_.width; ++x) {
        *pixels++ = static_cast<uint8_t>(row[x] >> L_RED_SHIFT);
        *pixels++ = static_cast<uint8_t>(row[x] >> L_GREEN_SHIFT);
        *pixels++ = static_cast<uint8_t>(row[x] >> L_BLUE_SHIFT);
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Broken() const {
    return absl::DataLossError(
        absl::StartsWith(bytes_, "BM")
            ? "broken BMP, or one of a kind that Leptonica does not read (compressed, or of OS/2)"
            : "broken PNM: its header or its pixels are not whole");
  }

  absl::string_view bytes_;
  StoredImage header_;
};

}  // namespace

std::unique_ptr<KindDecoder> MakeBitmapDecoder() { return std::make_unique<BitmapDecoder>(); }

}  // namespace finetune
