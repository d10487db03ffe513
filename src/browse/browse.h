#ifndef FINETUNE_BROWSE_BROWSE_H_
#define FINETUNE_BROWSE_BROWSE_H_

#include <string>

#include "src/base/status_macros.h"
#include "src/browse/contact_sheet.h"
#include "src/config/config.h"

namespace finetune {

// The flags of `finetune browse`. See `finetune help browse`.
struct BrowseFlags {
  // The file to write. Its ending, .html or .png, says the format.
  std::string out = "browse.html";
  // "train" or "val": whose images and pipeline.
  std::string split = "train";
  int images = 64;  // the most images to show
  int epoch = 0;
};

// Checks --split and the ending of --out. Errors: InvalidArgument.
absl::Status CheckBrowseFlags(const BrowseFlags& flags);

// Returns the first images of an epoch as a run on one rank gets them: from the run's own loader,
// with the pipeline and the batch transform. The normalisation is undone, and values are rounded to
// bytes. A caption has the image's index and its class, or the shares of two mixed classes. Errors:
// those of ValidateConfig(), Dataset::Open() and BatchLoader.
absl::StatusOr<ContactSheet> MakeContactSheet(const LoadedConfig& loaded, const BrowseFlags& flags);

// Writes the contact sheet to flags.out and returns the text to print: the captions of a PNG, row
// by row, and the file's name. Errors: those of MakeContactSheet() and of writing a file.
absl::StatusOr<std::string> RunBrowse(const LoadedConfig& loaded, const BrowseFlags& flags);

}  // namespace finetune

#endif  // FINETUNE_BROWSE_BROWSE_H_
