#ifndef FINETUNE_BROWSE_CONTACT_SHEET_H_
#define FINETUNE_BROWSE_CONTACT_SHEET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"

namespace finetune {

// An image of a contact sheet.
struct SheetImage {
  std::vector<uint8_t> pixels;  // [height, width, channels]
  std::string caption;          // UTF-8, "cat"
};

// A contact sheet: images of one shape, side by side. Channels are 1 or 3.
struct ContactSheet {
  int height = 0, width = 0, channels = 0;
  std::string title;  // UTF-8
  std::vector<SheetImage> images;
};

// Returns the number of images in a row of ToPng(): as many rows as columns, or one column more.
int Columns(const ContactSheet& sheet);

// Returns a PNG file with the images in rows, without captions. Errors: Internal where libpng
// fails.
absl::StatusOr<std::string> ToPng(const ContactSheet& sheet);

// Returns an HTML page with the images and their captions. The page loads nothing: each image is in
// it as a PNG. Errors: Internal where libpng fails.
absl::StatusOr<std::string> ToHtml(const ContactSheet& sheet);

}  // namespace finetune

#endif  // FINETUNE_BROWSE_CONTACT_SHEET_H_
