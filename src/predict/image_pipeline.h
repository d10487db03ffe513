#ifndef FINETUNE_PREDICT_IMAGE_PIPELINE_H_
#define FINETUNE_PREDICT_IMAGE_PIPELINE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/data/decode/decode.h"
#include "src/data/pipeline.h"
#include "src/data/transforms/normalize.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// How a data set stores the images that its pipeline takes.
struct StoredImages {
  // Height and width are 0 where they differ from image to image.
  ImageShape shape;
  // Images are stored as their files were; else as pixels.
  bool encoded = false;
  Orientation orientation = Orientation::kApply;
  // data.exact_decoding: whether JPEGs that are resized to half or less are decoded at full size.
  bool exact_decoding = false;
};

// Makes of an image's file what the model takes, by the decoder and the pipeline that validation
// uses. data.val.pipeline takes images as data.val stores them. Where that is as pixels, images
// of another size are brought to the stored size first, as prepare_dataset --size does: scaled so
// that the shorter side fits, and the middle cut out. Where the stored images are grey, images
// become grey.
class ImagePipeline {
 public:
  // A thread's memory.
  struct Desk {
    explicit Desk(Orientation orientation) : decoder(orientation) {}
    ImageDecoder decoder;
    DecodedImage image;
    std::vector<int64_t> draws;
    Pipeline::Scratch scratch;
  };

  // `statistics`: for a normalize {} without mean and std; null: unknown. Errors: InvalidArgument
  // with the field of `val` and what is wrong.
  static absl::StatusOr<ImagePipeline> Create(const SplitConfig& val, const StoredImages& stored,
                                              const PixelStatistics* statistics);

  // The shape of the prepared image.
  int channels() const { return any_size_.channels(); }
  int height() const { return any_size_.height(); }
  int width() const { return any_size_.width(); }
  Orientation orientation() const { return stored_.orientation; }
  // The last step of the pipeline, which makes the model's values of pixels.
  const Normalize& normalize() const { return any_size_.normalize(); }
  // Whether images of another size are fitted to the stored one; see above.
  bool fits() const { return stored_size_.has_value(); }

  // Prepares image number `index` from its file's bytes. `out`: [height(), width(), channels()].
  // T: float or Bfloat16. Errors: those of ImageDecoder.
  template <typename T>
  absl::Status Prepare(uint64_t seed, int64_t index, absl::string_view bytes, Desk* desk,
                       T* out) const;

 private:
  ImagePipeline(const StoredImages& stored, Pipeline any_size, std::optional<Pipeline> stored_size)
      : stored_(stored), any_size_(std::move(any_size)), stored_size_(std::move(stored_size)) {}

  StoredImages stored_;
  // For images of any size, and for those that have the stored size where these need no fitting.
  Pipeline any_size_;
  std::optional<Pipeline> stored_size_;
};

}  // namespace finetune

#endif  // FINETUNE_PREDICT_IMAGE_PIPELINE_H_
