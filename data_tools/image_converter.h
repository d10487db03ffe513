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

// Makes a data set of a source's images on all cores. Several threads read, check and decode
// images. The caller's thread writes them in the source's order, so that the output has the same
// bytes on any number of cores. Memory holds at most four images for each core.
class ImageConverter {
 public:
  // `build`: the builder's options, without those that depend on the images (size, channels,
  // encoded). `options` and `folder` must outlive this object.
  ImageConverter(const ConvertOptions& options, const FolderOptions& folder,
                 DatasetBuilder::Options build)
      : options_(options), folder_(folder), build_(std::move(build)) {}

  // Writes a data set of the images. After the first image that cannot be read, writes nothing
  // more and only looks for further ones: see bad(). Warns of images with faults, and of images
  // that are in two splits. Errors: those of the builder, and InvalidArgument for images of
  // different sizes that are to be stored as pixels.
  absl::Status Run(const ImageSource& source);

  struct Bad {
    std::string path, reason;
  };
  // The images that could not be read, in the source's order.
  const std::vector<Bad>& bad() const { return bad_; }

 private:
  // Does the work of Run() for one way to store images. Returns false only for kAuto, if the
  // images must be stored encoded. Run() then starts again with kEncoded.
  absl::StatusOr<bool> RunAs(Store store, const ImageSource& source);

  const ConvertOptions& options_;
  const FolderOptions& folder_;
  DatasetBuilder::Options build_;
  std::vector<Bad> bad_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_IMAGE_CONVERTER_H_
