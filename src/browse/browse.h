#ifndef FINETUNE_BROWSE_BROWSE_H_
#define FINETUNE_BROWSE_BROWSE_H_

#include <string>

#include "src/base/status_macros.h"
#include "src/config/config.h"
#include "src/observe/contact_sheet.h"

namespace finetune {

// The flags of `finetune browse`. See `finetune help browse`.
struct BrowseFlags {
  // The path of the file to write. Its ending, .html or .png, is the format.
  std::string out = "browse.html";
  // The split whose images and pipeline are shown: "train" or "val".
  std::string split = "train";
  int images = 64;  // the most images to show
  int epoch = 0;    // counts from 0; read for "train" only
  // Whether a file at `out` is replaced that does not say that finetune wrote it. A PNG never does.
  bool force = false;
};

// Checks that --split is "train" or "val" and that --out ends in .html or .png. Errors:
// InvalidArgument.
absl::Status CheckBrowseFlags(const BrowseFlags& flags);

// Returns the first images of an epoch as a run on one rank trains on them: decoded, augmented and
// mixed by BatchLoader. The normalization is undone and pixels are rounded to bytes. The caption of
// an image is its index in the data set and its class, or for a mixed image its two classes and
// their shares. Errors: those of ValidateConfig(), Dataset::Open() and BatchLoader.
absl::StatusOr<ContactSheet> MakeContactSheet(const LoadedConfig& loaded, const BrowseFlags& flags);

// Writes the contact sheet to `flags.out` and returns the text to print. The text is one line with
// the file's name, the number of images and their size; for a PNG the captions come first, a line
// for each row of images. Errors: those of CheckOutputs(), before any
// work; those of MakeContactSheet() and of writing a file.
absl::StatusOr<std::string> RunBrowse(const LoadedConfig& loaded, const BrowseFlags& flags);

}  // namespace finetune

#endif  // FINETUNE_BROWSE_BROWSE_H_
