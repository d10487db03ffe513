#ifndef FINETUNE_DATA_TOOLS_IMAGE_CONVERTER_H_
#define FINETUNE_DATA_TOOLS_IMAGE_CONVERTER_H_

#include <string>
#include <utility>
#include <vector>

#include "data_tools/converters.h"
#include "data_tools/image_source.h"
#include "src/base/status_macros.h"
#include "src/data/builder.h"

namespace finetune {

// Writes the images of an ImageSource as a data set. Several threads read, check and decode images.
// The caller's thread writes them in the source's order, so that the output has the same bytes with
// any number of threads. Memory holds at most four images for each thread.
class ImageConverter {
 public:
  // `build`: options for DatasetBuilder; those that depend on the images (class names, size,
  // channels, encoded) are set by Run(). `options` and `folder` must outlive this object.
  ImageConverter(const ConvertOptions& options, const FolderOptions& folder,
                 DatasetBuilder::Options build)
      : options_(options), folder_(folder), build_(std::move(build)) {}

  // Writes the data set. If an image cannot be read, no data set is written, but the other images
  // are still checked, and OK is returned; bad() then lists the images that cannot be read. Warns
  // of images with faults, and of images that are in two splits. Errors: those of DatasetBuilder;
  // InvalidArgument if images must be stored as pixels but have different sizes.
  absl::Status Run(const ImageSource& source);

  struct Bad {
    std::string path, reason;
  };
  // Returns the images that could not be read, in the source's order.
  const std::vector<Bad>& bad() const { return bad_; }

 private:
  // Does the work of Run() with this way to store images. Returns false only with kAuto, if it
  // turns out that the images must be stored encoded. Run() then starts again with kEncoded.
  absl::StatusOr<bool> RunAs(Store store, const ImageSource& source);

  const ConvertOptions& options_;
  const FolderOptions& folder_;
  DatasetBuilder::Options build_;
  std::vector<Bad> bad_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_IMAGE_CONVERTER_H_
