#ifndef FINETUNE_DATA_PIPELINE_H_
#define FINETUNE_DATA_PIPELINE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/dataset.pb.h"
#include "src/data/image_part.h"
#include "src/data/transforms/normalize.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// The steps that turn a stored image into the model's input, in the config's order: transforms, and
// Normalize at the end. src/data/transforms has a file for each kind.
class Pipeline {
 public:
  // Space for one image on its way; one a thread, reused from image to image.
  using Scratch = Image;

  // Finds what is wrong with the pipeline of `split`, whose stored images have this shape; see
  // ImageShape. `problems`: those of `split`.
  static void Check(const SplitConfig& split, const ImageShape& input, const Problems& problems);

  // `statistics`: for a Normalize that has none of its own; null: the manifest's. Errors:
  // InvalidArgument with what Check() finds, and for statistics of another number of channels.
  static absl::StatusOr<Pipeline> Create(const SplitConfig& split, const DatasetManifest& manifest,
                                         const PixelStatistics* statistics = nullptr);

  // The shape of the prepared image.
  int channels() const { return output_.channels; }
  int height() const { return output_.height; }
  int width() const { return output_.width; }

  // How many numbers Draw() writes: those of all steps, one after the other.
  int draws() const { return draws_; }
  // Chooses what is done to one image, which is stored with this shape. `visit`: see Sampler. The
  // draws depend on `seed`, `epoch`, `visit` and the shape alone; those of one step do not depend
  // on which other kinds of steps there are, but for the shape that these make. `draws`: [draws()].
  void Draw(uint64_t seed, int64_t epoch, int64_t visit, const ImageShape& stored,
            int64_t* draws) const;

  // The part of an image that is needed, and the size that it will be resized to; nothing for all
  // of it. `draws`: what Draw() has written for it.
  std::optional<NeededPart> NeedOf(const ImageShape& stored, const int64_t* draws) const;

  // Prepares one image as Draw() said. `pixels`: [H, W, C] of `stored`. `out`: [height(), width(),
  // channels()]. T: float or Bfloat16.
  template <typename T>
  void Apply(absl::Span<const uint8_t> pixels, const ImageShape& stored, const int64_t* draws,
             Scratch* scratch, T* out) const;

  // The same of the part that NeedOf() asked for. `pixels`: [H, W, C] of `part`.
  template <typename T>
  void ApplyToPart(absl::Span<const uint8_t> pixels, const ImageShape& part, const PartPlace& place,
                   const int64_t* draws, Scratch* scratch, T* out) const;

  // Whether a DevicePipeline can prepare the images: all stored ones have one shape, and each step
  // has a device side.
  bool on_device() const;

  struct Step {
    std::unique_ptr<const Transform> transform;
    // Names the random numbers that it draws from.
    uint32_t stream;
  };
  const std::vector<Step>& steps() const { return steps_; }
  const Normalize& normalize() const { return normalize_; }
  // Normalize's mean and std; empty where the pipeline does not normalise.
  const PixelStatistics& statistics() const { return normalize_.statistics(); }

 private:
  // Errors go to `problems`; then the pipeline is good for nothing. `statistics`: null where they
  // are not known yet.
  Pipeline(const SplitConfig& split, const ImageShape& input, const PixelStatistics* statistics,
           const Problems& problems);

  // Prepares the image whose shape and place are in `scratch`.
  template <typename T>
  void Run(absl::Span<const uint8_t> pixels, const int64_t* draws, Scratch* scratch, T* out) const;

  ImageShape input_, output_;
  int draws_ = 0;
  std::vector<Step> steps_;
  Normalize normalize_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_PIPELINE_H_
