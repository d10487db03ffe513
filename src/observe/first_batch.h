#ifndef FINETUNE_OBSERVE_FIRST_BATCH_H_
#define FINETUNE_OBSERVE_FIRST_BATCH_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/observe/contact_sheet.h"

namespace finetune {

// Some images of the first batch of a run, or of its continuation from a checkpoint, as the model
// gets them. Rank 0 writes them to WORK_DIR/first_batch.json, for the report.
struct FirstBatch {
  struct Image {
    std::string media_type;  // "image/png" or "image/jpeg"
    std::string bytes;       // the image file
    std::string caption;     // UTF-8
  };

  int64_t iteration = 0;  // the iteration that trains on these images, from 1
  std::string title;      // UTF-8
  std::vector<Image> images;
};

// The largest number of images in a FirstBatch, and their longest side in pixels. They bound the
// file, and so the report, to about 200 KB for photos.
inline constexpr size_t kMostFirstImages = 24;
inline constexpr int kMostFirstImageSide = 128;

// The version of the format of first_batch.json. It is raised when an older finetune would misread
// the file.
inline constexpr int64_t kFirstBatchFormatVersion = 1;

// The first line of WORK_DIR/first_batch.json. It marks the file as written by finetune.
extern const char kFirstBatchFirstLine[];

// Returns the path of the file in this work_dir.
std::string FirstBatchPath(absl::string_view work_dir);

// Encodes the images of `sheet`, one by one. Errors: those of ToImageFile().
absl::StatusOr<FirstBatch> EncodeFirstBatch(const ContactSheet& sheet, int64_t iteration);

// Returns the text of first_batch.json. The bytes of images are in base64.
std::string ToJson(const FirstBatch& batch);

// Parses the text of a first_batch.json; takes at most kMostFirstImages images. Errors:
// InvalidArgument for text that is not a first batch, for an image of another type than PNG and
// JPEG, and for a newer format version.
absl::StatusOr<FirstBatch> ParseFirstBatch(absl::string_view text);

// Reads the file of a work_dir. Errors, which name the path: NotFound if there is none; those of
// reading the file and of ParseFirstBatch().
absl::StatusOr<FirstBatch> ReadFirstBatch(absl::string_view work_dir);

// Deletes the file of a work_dir, if it is there. Errors: those of SystemError().
absl::Status RemoveFirstBatch(absl::string_view work_dir);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_FIRST_BATCH_H_
