#ifndef FINETUNE_DATA_TOOLS_PICTURE_CONVERTER_H_
#define FINETUNE_DATA_TOOLS_PICTURE_CONVERTER_H_

#include <string>
#include <utility>
#include <vector>

#include "data_tools/converters.h"
#include "data_tools/picture_source.h"
#include "src/base/status_macros.h"
#include "src/data/builder.h"

namespace finetune {

// Makes a data set of a source's pictures on all cores. Several threads read, check and decode
// pictures. The caller's thread writes them in the source's order, so that the output has the same
// bytes on any number of cores. Memory holds at most four pictures for each core.
class PictureConverter {
 public:
  // `build`: the builder's options, without those that depend on the pictures (size, channels,
  // encoded). `options` and `folder` must outlive this object.
  PictureConverter(const ConvertOptions& options, const FolderOptions& folder,
                   DatasetBuilder::Options build)
      : options_(options), folder_(folder), build_(std::move(build)) {}

  // Writes a data set of the pictures. After the first picture that cannot be read, writes nothing
  // more and only looks for further ones: see bad(). Warns of pictures with faults, and of pictures
  // that are in two splits. Errors: those of the builder, and InvalidArgument for pictures of
  // different sizes that are to be stored as pixels.
  absl::Status Run(const PictureSource& source);

  struct Bad {
    std::string path, reason;
  };
  // The pictures that could not be read, in the source's order.
  const std::vector<Bad>& bad() const { return bad_; }

 private:
  // Does the work of Run() for one way to store pictures. Returns false only for kAuto, if the
  // pictures must be stored encoded. Run() then starts again with kEncoded.
  absl::StatusOr<bool> RunAs(Store store, const PictureSource& source);

  const ConvertOptions& options_;
  const FolderOptions& folder_;
  DatasetBuilder::Options build_;
  std::vector<Bad> bad_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_PICTURE_CONVERTER_H_
