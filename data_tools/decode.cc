#include "data_tools/decode.h"

#include <png.h>
#include <turbojpeg.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_STATIC
#include <stb/stb_image_resize.h>
#pragma GCC diagnostic pop

namespace finetune {
namespace {

// A picture's header can claim anything; more than this no data set of pictures for a classifier
// has.
constexpr int64_t kMaxPixels = int64_t{1} << 28;

absl::StatusOr<Picture> DecodeJpeg(const std::string& name, const std::string& bytes) {
  const std::unique_ptr<void, int (*)(tjhandle)> decoder(tjInitDecompress(), &tjDestroy);
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  Picture picture;
  int subsampling = 0, colorspace = 0;
  const auto fail = [&] {
    return absl::DataLossError(
        absl::StrCat(name, ": broken JPEG: ", tjGetErrorStr2(decoder.get())));
  };
  if (tjDecompressHeader3(decoder.get(), data, bytes.size(), &picture.width, &picture.height,
                          &subsampling, &colorspace) != 0) {
    return fail();
  }
  if (int64_t{picture.width} * picture.height > kMaxPixels)
    return absl::DataLossError(absl::StrCat(name, ": is too large"));
  picture.pixels.resize(size_t{3} * picture.width * picture.height);
  // Warnings count: a JPEG cut short decodes with one, its rest grey.
  if (tjDecompress2(decoder.get(), data, bytes.size(), picture.pixels.data(), picture.width, 0,
                    picture.height, TJPF_RGB, TJFLAG_ACCURATEDCT) != 0) {
    return fail();
  }
  return picture;
}

absl::StatusOr<Picture> DecodePng(const std::string& name, const std::string& bytes) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, void (*)(png_image*)> release(&image, &png_image_free);
  if (png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) == 0) {
    return absl::DataLossError(absl::StrCat(name, ": broken PNG: ", image.message));
  }
  if (int64_t{image.width} * image.height > kMaxPixels)
    return absl::DataLossError(absl::StrCat(name, ": is too large"));
  image.format = PNG_FORMAT_RGB;
  Picture picture;
  picture.width = static_cast<int>(image.width);
  picture.height = static_cast<int>(image.height);
  picture.pixels.resize(PNG_IMAGE_SIZE(image));
  const png_color black = {0, 0, 0};
  if (png_image_finish_read(&image, &black, picture.pixels.data(), 0, nullptr) == 0) {
    return absl::DataLossError(absl::StrCat(name, ": broken PNG: ", image.message));
  }
  return picture;
}

}  // namespace

absl::StatusOr<Picture> DecodePicture(const std::string& name, const std::string& bytes) {
  if (absl::StartsWith(bytes, "\xff\xd8")) return DecodeJpeg(name, bytes);
  if (absl::StartsWith(bytes, "\x89PNG")) return DecodePng(name, bytes);
  return absl::DataLossError(absl::StrCat(name, ": is neither JPEG nor PNG"));
}

absl::StatusOr<Picture> FitSquare(const Picture& picture, int size) {
  const double scale = static_cast<double>(size) / std::min(picture.height, picture.width);
  Picture scaled;
  scaled.height = std::max(size, static_cast<int>(std::lround(picture.height * scale)));
  scaled.width = std::max(size, static_cast<int>(std::lround(picture.width * scale)));
  if (int64_t{scaled.height} * scaled.width > kMaxPixels)
    return absl::InvalidArgumentError("a picture too long to scale");
  scaled.pixels.resize(size_t{3} * scaled.height * scaled.width);
  if (stbir_resize_uint8(picture.pixels.data(), picture.width, picture.height, 0,
                         scaled.pixels.data(), scaled.width, scaled.height, 0, 3) == 0) {
    return absl::ResourceExhaustedError("no memory to scale a picture");
  }
  Picture square;
  square.height = square.width = size;
  const int top = (scaled.height - size) / 2, left = (scaled.width - size) / 2;
  for (int y = 0; y < size; ++y) {
    const auto row = scaled.pixels.begin() + (int64_t{y + top} * scaled.width + left) * 3;
    square.pixels.insert(square.pixels.end(), row, row + int64_t{size} * 3);
  }
  return square;
}

}  // namespace finetune
