#include "src/observe/contact_sheet.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/ceil_divide.h"
#include "src/base/encode_image.h"
#include "src/observe/chart.h"

namespace finetune {
namespace {

// The width in pixels of the white lines between the images of a grid.
constexpr int kGap = 2;
// The HTML page enlarges a narrower image by a whole factor, to at most this width in pixels.
constexpr int kLeastShown = 128;
// Images with a longer side become JPEGs.
constexpr int kMostSideOfPng = 64;
constexpr int kQuality = 90;

// The images of a sheet in rows, side by side.
struct Grid {
  std::vector<uint8_t> pixels;
  int height = 0, width = 0, channels = 0;

  PixelView view() const { return {pixels, height, width, channels}; }
};

Grid ToGrid(const ContactSheet& sheet) {
  const int columns = Columns(sheet), count = static_cast<int>(sheet.images.size());
  const auto rows = static_cast<int>(CeilDivide(count, columns));
  Grid grid;
  grid.height = rows * (sheet.height + kGap) + kGap;
  grid.width = columns * (sheet.width + kGap) + kGap;
  grid.channels = sheet.channels;
  const auto line = static_cast<ptrdiff_t>(sheet.width) * sheet.channels;
  grid.pixels.assign(size_t{1} * grid.height * grid.width * sheet.channels, 255);
  for (int i = 0; i < count; ++i) {
    const int top = kGap + i / columns * (sheet.height + kGap);
    const int left = kGap + i % columns * (sheet.width + kGap);
    for (int y = 0; y < sheet.height; ++y) {
      std::copy_n(
          sheet.images[i].pixels.begin() + y * line, line,
          grid.pixels.begin() + (ptrdiff_t{1} * (top + y) * grid.width + left) * sheet.channels);
    }
  }
  return grid;
}

PixelView ViewOf(const ContactSheet& sheet, const SheetImage& image) {
  return {image.pixels, sheet.height, sheet.width, sheet.channels};
}

// Encodes a part of `sheet` in the format that suits the size of the sheet's images.
absl::StatusOr<ImageFile> Encode(const ContactSheet& sheet, const PixelView& image) {
  ImageFile file{"image/png", "", image.height, image.width, image.channels};
  if (std::max(sheet.height, sheet.width) <= kMostSideOfPng) {
    FT_ASSIGN_OR_RETURN(file.bytes, EncodePng(image));
  } else {
    file.media_type = "image/jpeg";
    FT_ASSIGN_OR_RETURN(file.bytes, EncodeJpeg(image, kQuality));
  }
  return file;
}

}  // namespace

int Columns(const ContactSheet& sheet) {
  return std::max(1, static_cast<int>(std::ceil(std::sqrt(sheet.images.size()))));
}

std::string CaptionRows(const ContactSheet& sheet) {
  const auto columns = static_cast<size_t>(Columns(sheet));
  std::string text;
  for (size_t i = 0; i < sheet.images.size(); ++i) {
    const bool ends_row = (i + 1) % columns == 0 || i + 1 == sheet.images.size();
    absl::StrAppend(&text, sheet.images[i].caption, ends_row ? "\n" : " | ");
  }
  return text;
}

absl::StatusOr<std::string> ToPng(const ContactSheet& sheet) {
  return EncodePng(ToGrid(sheet).view());
}

absl::StatusOr<ImageFile> ToImageFile(const ContactSheet& sheet) {
  return Encode(sheet, ToGrid(sheet).view());
}

absl::StatusOr<ImageFile> ToImageFile(const ContactSheet& sheet, size_t index) {
  return Encode(sheet, ViewOf(sheet, sheet.images[index]));
}

const char kSheetFirstLine[] = "<!DOCTYPE html><!-- Written by finetune browse. -->";

std::string ToFigure(absl::string_view media_type, absl::string_view bytes,
                     absl::string_view caption) {
  return absl::StrCat("<figure><img alt=\"\" src=\"data:", EscapeHtml(media_type), ";base64,",
                      absl::Base64Escape(bytes), "\"><figcaption>", EscapeHtml(caption),
                      "</figcaption></figure>\n");
}

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
    FT_ASSIGN_OR_RETURN(const std::string png, EncodePng(ViewOf(sheet, image)));
    absl::StrAppend(&html, ToFigure("image/png", png, image.caption));
  }
  return absl::StrCat(html, "</main></body></html>\n");
}

}  // namespace finetune
