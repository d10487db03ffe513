#ifndef FINETUNE_OBSERVE_CONTACT_SHEET_H_
#define FINETUNE_OBSERVE_CONTACT_SHEET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"

namespace finetune {

// One image of a contact sheet.
struct SheetImage {
  std::vector<uint8_t> pixels;  // [height, width, channels]
  std::string caption;          // UTF-8: "17: cat"
};

// A contact sheet: images of one size, arranged in rows. `channels` is 1 or 3.
struct ContactSheet {
  int height = 0, width = 0, channels = 0;
  std::string title;  // UTF-8
  std::vector<SheetImage> images;
};

// The bytes of an image file.
struct ImageFile {
  std::string media_type;  // "image/png" or "image/jpeg"
  std::string bytes;
  int height = 0, width = 0, channels = 0;
};

// Returns the number of images in a row of ToPng() and ToImageFile(): the square root of their
// number, rounded up.
int Columns(const ContactSheet& sheet);

// Returns the captions of the images, a line for each row of images.
std::string CaptionRows(const ContactSheet& sheet);

// Returns the bytes of a PNG file with the images in rows, without captions. Errors: Internal if
// libpng fails.
absl::StatusOr<std::string> ToPng(const ContactSheet& sheet);

// Returns a small file with the images in rows, without captions, and one with image `index` alone.
// They are PNGs, which keep every pixel, if the images have at most 64 pixels a side; larger images
// become JPEGs, which take about a fifth of the space. Errors: Internal if the encoder fails.
absl::StatusOr<ImageFile> ToImageFile(const ContactSheet& sheet);
absl::StatusOr<ImageFile> ToImageFile(const ContactSheet& sheet, size_t index);

// The first line of every page. It marks the file as written by finetune, so that it may be
// replaced.
extern const char kSheetFirstLine[];

// Returns an HTML page with the images and their captions. The page loads no other file, because
// it contains each image as a PNG. Errors: Internal if libpng fails.
absl::StatusOr<std::string> ToHtml(const ContactSheet& sheet);

// Returns a <figure> element with an image, embedded in it, and its caption.
std::string ToFigure(absl::string_view media_type, absl::string_view bytes,
                     absl::string_view caption);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_CONTACT_SHEET_H_
