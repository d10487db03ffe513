// Decodes WebP with libwebp, the reference decoder, which is fuzzed continuously. It decodes
// directly into the caller's memory.

#include <webp/decode.h>

#include "absl/strings/str_cat.h"
#include "src/data/decode/exif.h"
#include "src/data/decode/kind_decoder.h"

namespace finetune {
namespace {

// Returns the EXIF orientation, or 1 if the file has none. Searches the chunks of the RIFF
// container for the chunk EXIF. This holds EXIF data, before which some programs write "Exif\0\0"
// as in a JPEG.
int WebpOrientation(absl::string_view bytes) {
  constexpr size_t kContainer = 12, kHeader = 8;
  constexpr absl::string_view kExif("Exif\0\0", 6);
  size_t at = kContainer;
  while (at < bytes.size() && bytes.size() - at >= kHeader) {
    const uint32_t length = LittleEndian(bytes, at + 4, 4);
    if (length > bytes.size() - at - kHeader) return 1;
    absl::string_view chunk = bytes.substr(at + kHeader, length);
    if (bytes.substr(at, 4) == "EXIF") {
      if (chunk.substr(0, kExif.size()) == kExif) chunk.remove_prefix(kExif.size());
      return ExifOrientation(chunk);
    }
    at += kHeader + length + length % 2;
  }
  return 1;
}

absl::string_view Reason(VP8StatusCode code) {
  switch (code) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return "its end is missing";
    case VP8_STATUS_OUT_OF_MEMORY:
      return "no memory to decode it";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "it uses a feature that libwebp does not know";
    default:
      return "its data are damaged";
  }
}

class WebpDecoder final : public KindDecoder {
 public:
  absl::StatusOr<StoredImage> ReadHeader(absl::string_view bytes) override {
    bytes_ = bytes;
    WebPBitstreamFeatures features;
    const VP8StatusCode code = WebPGetFeatures(data(), bytes.size(), &features);
    if (code != VP8_STATUS_OK) return Broken(code);
    if (features.has_animation != 0) {
      return absl::DataLossError("is an animated WebP; expected one image");
    }
    return StoredImage{features.height, features.width, WebpOrientation(bytes)};
  }

  absl::Status ReadPixels(uint8_t* pixels, std::string* warning) override {
    WebPDecoderConfig config;
    if (WebPInitDecoderConfig(&config) == 0) return Broken(VP8_STATUS_INVALID_PARAM);
    const VP8StatusCode header = WebPGetFeatures(data(), bytes_.size(), &config.input);
    if (header != VP8_STATUS_OK) return Broken(header);
    config.output.colorspace = MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = pixels;
    config.output.u.RGBA.stride = 3 * config.input.width;
    config.output.u.RGBA.size = size_t{3} * config.input.width * config.input.height;
    const VP8StatusCode code = WebPDecode(data(), bytes_.size(), &config);
    return code == VP8_STATUS_OK ? absl::OkStatus() : Broken(code);
  }

 private:
  const uint8_t* data() const { return reinterpret_cast<const uint8_t*>(bytes_.data()); }
  static absl::Status Broken(VP8StatusCode code) {
    return absl::DataLossError(absl::StrCat("broken WebP: ", Reason(code)));
  }

  absl::string_view bytes_;
};

}  // namespace

std::unique_ptr<KindDecoder> MakeWebpDecoder() { return std::make_unique<WebpDecoder>(); }

}  // namespace finetune
