#include "data_tools/resample.h"

#include <turbojpeg.h>

#include <algorithm>
#include <cstdint>
#include <memory>

#include "absl/strings/str_cat.h"
#include "src/data/picture_size.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_STATIC
#include <stb/stb_image_resize.h>
#pragma GCC diagnostic pop

namespace finetune {
namespace {

// Returns the square of side `size` in the centre of a picture that is at least as large.
Picture Middle(const Picture& picture, int size) {
  Picture square;
  square.height = square.width = size;
  const int top = (picture.height - size) / 2, left = (picture.width - size) / 2;
  for (int y = 0; y < size; ++y) {
    const auto row = picture.pixels.begin() + (int64_t{y + top} * picture.width + left) * 3;
    square.pixels.insert(square.pixels.end(), row, row + int64_t{size} * 3);
  }
  return square;
}

absl::StatusOr<Picture> Scaled(const Picture& picture, int64_t height, int64_t width) {
  Picture scaled;
  scaled.height = static_cast<int>(height);
  scaled.width = static_cast<int>(width);
  scaled.pixels.resize(size_t{3} * scaled.height * scaled.width);
  if (stbir_resize_uint8(picture.pixels.data(), picture.width, picture.height, 0,
                         scaled.pixels.data(), scaled.width, scaled.height, 0, 3) == 0) {
    return absl::ResourceExhaustedError("no memory to scale a picture");
  }
  return scaled;
}

}  // namespace

absl::StatusOr<Picture> FitSquare(const Picture& picture, int size) {
  const int64_t shorter = std::min(picture.height, picture.width);
  const auto scale = [&](int64_t side) { return (2 * side * size + shorter) / (2 * shorter); };
  const int64_t height = scale(picture.height), width = scale(picture.width);
  if (height * width > kMaxPixels) {
    return absl::InvalidArgumentError(absl::StrCat(
        picture.height, "x", picture.width, " scaled to a shorter side of ", size, " would be ",
        height, "x", width, " (height x width); at most ", kMaxPixels, " pixels are made"));
  }
  if (shorter == size) return Middle(picture, size);
  FT_ASSIGN_OR_RETURN(const Picture scaled, Scaled(picture, height, width));
  return Middle(scaled, size);
}

absl::StatusOr<Picture> ScaleDown(const Picture& picture, int max_side) {
  const int64_t longer = std::max(picture.height, picture.width);
  const auto scale = [&](int64_t side) {
    return std::max<int64_t>(1, (2 * side * max_side + longer) / (2 * longer));
  };
  return Scaled(picture, scale(picture.height), scale(picture.width));
}

absl::StatusOr<std::string> EncodeJpeg(const Picture& picture, int quality) {
  const std::unique_ptr<void, int (*)(tjhandle)> encoder(tjInitCompress(), &tjDestroy);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;  // NOLINT(google-runtime-int): libturbojpeg's type
  const int failed =
      tjCompress2(encoder.get(), picture.pixels.data(), picture.width, 0, picture.height, TJPF_RGB,
                  &bytes, &size, TJSAMP_420, quality, TJFLAG_ACCURATEDCT);
  const std::unique_ptr<unsigned char, void (*)(unsigned char*)> owned(bytes, &tjFree);
  if (failed != 0) {
    return absl::InternalError(
        absl::StrCat("cannot encode as JPEG: ", tjGetErrorStr2(encoder.get())));
  }
  return std::string(reinterpret_cast<const char*>(bytes), size);
}

}  // namespace finetune
