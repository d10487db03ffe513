#include "data_tools/decode.h"

#include <png.h>
#include <turbojpeg.h>

#include <algorithm>
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

// A picture's header can claim anything. This bounds what is allocated for it, to 192 MiB (a
// progressive JPEG: to 600); the largest pictures of ImageNet have 61 million pixels.
constexpr int64_t kMaxPixels = int64_t{1} << 26;

absl::Status CheckSize(const std::string& name, int64_t height, int64_t width) {
  if (height * width <= kMaxPixels) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(name, ": says that it is ", height, "x", width,
                                          "; at most ", kMaxPixels, " pixels are read"));
}

absl::StatusOr<Picture> DecodeJpeg(const std::string& name, const std::string& bytes) {
  const std::unique_ptr<void, int (*)(tjhandle)> decoder(tjInitDecompress(), &tjDestroy);
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  Picture picture;
  int subsampling = 0, colorspace = 0;
  const auto fail = [&] {
    return absl::DataLossError(absl::StrCat(name, ": broken JPEG of ", bytes.size(),
                                            " bytes: ", tjGetErrorStr2(decoder.get())));
  };
  if (tjDecompressHeader3(decoder.get(), data, bytes.size(), &picture.width, &picture.height,
                          &subsampling, &colorspace) != 0) {
    return fail();
  }
  FT_RETURN_IF_ERROR(CheckSize(name, picture.height, picture.width));
  picture.pixels.resize(size_t{3} * picture.width * picture.height);
  // Warnings count: a JPEG cut short decodes with one, its rest grey. The limit is for small files
  // that ask for the whole picture to be gone over thousands of times.
  if (tjDecompress2(decoder.get(), data, bytes.size(), picture.pixels.data(), picture.width, 0,
                    picture.height, TJPF_RGB, TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS) != 0) {
    return fail();
  }
  return picture;
}

// libpng stops at the last row, and so takes a file whose end is missing for a whole one.
absl::Status CheckPngIsWhole(const std::string& name, const std::string& bytes) {
  constexpr size_t kSignature = 8, kAround = 12;  // a chunk's length, type and checksum
  size_t at = kSignature;
  while (at <= bytes.size() && bytes.size() - at >= kAround) {
    const auto byte = [&](size_t i) { return uint32_t{static_cast<uint8_t>(bytes[at + i])}; };
    const uint32_t length = byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
    if (length > bytes.size() - at - kAround) break;
    if (bytes.compare(at + 4, 4, "IEND") == 0) return absl::OkStatus();
    at += kAround + length;
  }
  return absl::DataLossError(absl::StrCat(name, ": broken PNG: the chunk at byte ", at,
                                          " goes beyond the file's end at ", bytes.size()));
}

absl::StatusOr<Picture> DecodePng(const std::string& name, const std::string& bytes) {
  FT_RETURN_IF_ERROR(CheckPngIsWhole(name, bytes));
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, void (*)(png_image*)> release(&image, &png_image_free);
  if (png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) == 0) {
    return absl::DataLossError(absl::StrCat(name, ": broken PNG: ", image.message));
  }
  FT_RETURN_IF_ERROR(CheckSize(name, image.height, image.width));
  image.format = PNG_FORMAT_RGB;
  // 16 bits a channel are cut to 8, as other programs do, not taken for linear light.
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
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
  const int64_t shorter = std::min(picture.height, picture.width);
  const auto scale = [&](int64_t side) { return (2 * side * size + shorter) / (2 * shorter); };
  const int64_t height = scale(picture.height), width = scale(picture.width);
  if (height * width > kMaxPixels) {
    return absl::InvalidArgumentError(absl::StrCat(
        picture.height, "x", picture.width, " scaled to a shorter side of ", size, " would be ",
        height, "x", width, "; at most ", kMaxPixels, " pixels are made"));
  }
  Picture scaled;
  scaled.height = static_cast<int>(height);
  scaled.width = static_cast<int>(width);
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
