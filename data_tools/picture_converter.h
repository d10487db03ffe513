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

// Makes a data set of a source's pictures on all cores: threads read, check and decode them, the
// caller's thread writes them in order, so that the same pictures become the same bytes on any
// number of cores. Holds at most four pictures a core.
class PictureConverter {
 public:
  // `build`: without what the pictures tell. The others must outlive it.
  PictureConverter(const ConvertOptions& options, const FolderOptions& folder,
                   DatasetBuilder::Options build)
      : options_(options), folder_(folder), build_(std::move(build)) {}

  // Writes a data set of the pictures. From the first that cannot be read on, writes nothing and
  // looks for more of them: see bad(). Warns of pictures with faults, and of those that are in two
  // splits. Errors: those of the builder, and InvalidArgument for pixels of different sizes.
  absl::Status Run(const PictureSource& source);

  struct Bad {
    std::string path, reason;
  };
  // The pictures that could not be read, in the source's order.
  const std::vector<Bad>& bad() const { return bad_; }

 private:
  // Run()'s work where pictures are stored this way. False: they are to be stored encoded, which
  // only kAuto finds out.
  absl::StatusOr<bool> RunAs(Store store, const PictureSource& source);

  const ConvertOptions& options_;
  const FolderOptions& folder_;
  DatasetBuilder::Options build_;
  std::vector<Bad> bad_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_PICTURE_CONVERTER_H_
