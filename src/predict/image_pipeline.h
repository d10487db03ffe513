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

// How the data set of a model stores the images that its pipeline takes.
struct StoredImages {
  // The shape of every stored image. Height and width are 0 if images have different sizes.
  ImageShape shape;
  // Whether images are stored encoded, as their files were, instead of as pixels.
  bool encoded = false;
  Orientation orientation = Orientation::kApply;
  // The config's data.exact_decoding: whether JPEGs that are resized to half their size or less are
  // decoded at full scale all the same.
  bool exact_decoding = false;
};

// Prepares the file of an image for the model, with the decoder and the pipeline
// (data.val.pipeline) that validation uses. If the data set stores pixels, all of one size, the
// pipeline expects images of that size. Images of another size are then fitted first: if the stored
// size is square, they are scaled so that the shorter side fits and the middle is cut out, as
// prepare_dataset --size does; otherwise they are stretched to the stored size. If the data set
// stores grey images, images are made grey.
class ImagePipeline {
 public:
  // Working memory. Each thread needs its own.
  struct Desk {
    explicit Desk(Orientation orientation) : decoder(orientation) {}
    ImageDecoder decoder;
    DecodedImage image;
    std::vector<int64_t> draws;
    Pipeline::Scratch scratch;
  };

  // `val`: data.val of the config. `stored`: how its data set stores images. `statistics`: the mean
  // and std for a normalize {} step without its own; null if they are unknown. Errors:
  // InvalidArgument with the field of `val` and what is wrong.
  static absl::StatusOr<ImagePipeline> Create(const SplitConfig& val, const StoredImages& stored,
                                              const PixelStatistics* statistics);

  // The shape of a prepared image.
  int channels() const { return any_size_.channels(); }
  int height() const { return any_size_.height(); }
  int width() const { return any_size_.width(); }
  Orientation orientation() const { return stored_.orientation; }
  // The last step of the pipeline, which makes the model's values of pixels.
  const Normalize& normalize() const { return any_size_.normalize(); }
  // Returns whether images of another size are first fitted to the stored size; see the
  // comment of this class.
  bool fits() const { return stored_size_.has_value(); }

  // Prepares an image. `bytes`: the content of its file. `seed` and `index`: from these the
  // pipeline's random steps draw, if it has any. `out`: [height(), width(), channels()]. T: float
  // or Bfloat16. Errors: those of ImageDecoder.
  template <typename T>
  absl::Status Prepare(uint64_t seed, int64_t index, absl::string_view bytes, Desk* desk,
                       T* out) const;

 private:
  ImagePipeline(const StoredImages& stored, Pipeline any_size, std::optional<Pipeline> stored_size)
      : stored_(stored), any_size_(std::move(any_size)), stored_size_(std::move(stored_size)) {}

  StoredImages stored_;
  // any_size_ is used for images of any size; if fits(), it begins with the steps that fit them.
  // stored_size_ is set only if fits(), and is used for images that already have the stored size.
  Pipeline any_size_;
  std::optional<Pipeline> stored_size_;
};

}  // namespace finetune

#endif  // FINETUNE_PREDICT_IMAGE_PIPELINE_H_
