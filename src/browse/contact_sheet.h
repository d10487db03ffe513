#ifndef FINETUNE_BROWSE_CONTACT_SHEET_H_
#define FINETUNE_BROWSE_CONTACT_SHEET_H_

#include <cstdint>
#include <string>
#include <vector>

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

// Returns the number of images in a row of ToPng(): the square root of their number, rounded up.
int Columns(const ContactSheet& sheet);

// Returns the bytes of a PNG file with the images in rows, without captions. Errors: Internal if
// libpng fails.
absl::StatusOr<std::string> ToPng(const ContactSheet& sheet);

// The first line of every page. It marks the file as written by finetune, so that it may be
// replaced.
extern const char kSheetFirstLine[];

// Returns an HTML page with the images and their captions. The page loads no other file, because
// it contains each image as a PNG. Errors: Internal if libpng fails.
absl::StatusOr<std::string> ToHtml(const ContactSheet& sheet);

}  // namespace finetune

#endif  // FINETUNE_BROWSE_CONTACT_SHEET_H_
