#include "src/browse/contact_sheet.h"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/ceil_divide.h"
#include "src/observe/chart.h"

namespace finetune {
namespace {

// The width in pixels of the white lines between the images of a PNG.
constexpr int kGap = 2;
// The HTML page enlarges a narrower image by a whole factor, to at most this width in pixels.
constexpr int kLeastShown = 128;

// Returns the bytes of a PNG file. `pixels`: [height, width, channels]. Errors: Internal if libpng
// fails.
absl::StatusOr<std::string> EncodePng(const std::vector<uint8_t>& pixels, int height, int width,
                                      int channels) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  std::string png(PNG_IMAGE_PNG_SIZE_MAX(image), '\0');
  png_alloc_size_t size = png.size();
  if (png_image_write_to_memory(&image, png.data(), &size, /*convert_to_8_bit=*/0, pixels.data(),
                                /*row_stride=*/0, /*colormap=*/nullptr) == 0) {
    return absl::InternalError(
        absl::StrCat("cannot write a PNG of ", height, "x", width, ": ", image.message));
  }
  png.resize(size);
  return png;
}

}  // namespace

int Columns(const ContactSheet& sheet) {
  return std::max(1, static_cast<int>(std::ceil(std::sqrt(sheet.images.size()))));
}

absl::StatusOr<std::string> ToPng(const ContactSheet& sheet) {
  const int columns = Columns(sheet), count = static_cast<int>(sheet.images.size());
  const auto rows = static_cast<int>(CeilDivide(count, columns));
  const int height = rows * (sheet.height + kGap) + kGap;
  const int width = columns * (sheet.width + kGap) + kGap;
  const auto line = static_cast<ptrdiff_t>(sheet.width) * sheet.channels;
  std::vector<uint8_t> pixels(size_t{1} * height * width * sheet.channels, 255);
  for (int i = 0; i < count; ++i) {
    const int top = kGap + i / columns * (sheet.height + kGap);
    const int left = kGap + i % columns * (sheet.width + kGap);
    for (int y = 0; y < sheet.height; ++y) {
      std::copy_n(sheet.images[i].pixels.begin() + y * line, line,
                  pixels.begin() + (ptrdiff_t{1} * (top + y) * width + left) * sheet.channels);
    }
  }
  return EncodePng(pixels, height, width, sheet.channels);
}

const char kSheetFirstLine[] = "<!DOCTYPE html><!-- Written by finetune browse. -->";

absl::StatusOr<std::string> ToHtml(const ContactSheet& sheet) {
  const int enlarged = std::max(1, kLeastShown / std::max(sheet.width, 1));
  std::string html =
      absl::StrCat(kSheetFirstLine, "\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>",
                   EscapeHtml(sheet.title),
                   "</title>\n<style>body { font: 13px system-ui, sans-serif; margin: 16px }\n"
                   "main { display: flex; flex-wrap: wrap; gap: 12px }\n"
                   "figure { margin: 0; width: ",
                   sheet.width * enlarged, "px }\nimg { width: ", sheet.width * enlarged,
                   "px; image-rendering: pixelated; display: block }\n"
                   "figcaption { overflow-wrap: anywhere }</style></head>\n<body><h1>",
                   EscapeHtml(sheet.title), "</h1>\n<main>\n");
  for (const SheetImage& image : sheet.images) {
    FT_ASSIGN_OR_RETURN(const std::string png,
                        EncodePng(image.pixels, sheet.height, sheet.width, sheet.channels));
    absl::StrAppend(&html, "<figure><img alt=\"\" src=\"data:image/png;base64,",
                    absl::Base64Escape(png), "\"><figcaption>", EscapeHtml(image.caption),
                    "</figcaption></figure>\n");
  }
  return absl::StrCat(html, "</main></body></html>\n");
}

}  // namespace finetune
