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

// The steps that turn a stored image into the model's input: transforms in the config's order, and
// Normalize at the end. Each kind of step has a file in src/data/transforms.
class Pipeline {
 public:
  // Working memory for the image that Apply() is preparing. Each thread needs its own, and should
  // use it again for the next image.
  using Scratch = Image;

  // Checks the pipeline of `split` and adds what is wrong to `problems`, which must be those of the
  // message `split`. `input`: the shape of the stored images, as far as it is known; see
  // ImageShape. `training`: whether the split is data.train. Each random step of data.val is a
  // warning.
  static void Check(const SplitConfig& split, const ImageShape& input, bool training,
                    const Problems& problems);

  // Creates the pipeline of `split` for the images of the data set `manifest`. `statistics`: the
  // mean and std for a Normalize step that has none of its own; null: the manifest's. Errors:
  // InvalidArgument with what Check() finds, or if the statistics have another number of channels
  // than the image.
  static absl::StatusOr<Pipeline> Create(const SplitConfig& split, const DatasetManifest& manifest,
                                         const PixelStatistics* statistics = nullptr);

  // The shape of a prepared image.
  int channels() const { return output_.channels; }
  int height() const { return output_.height; }
  int width() const { return output_.width; }

  // Returns the number of random numbers that Draw() writes: those of the first step, then those of
  // the second, and so on.
  int draws() const { return draws_; }
  // Draws the random numbers that decide what the steps do to one image. `visit`: the image and its
  // occurrence in `epoch`; see Sampler. `stored`: the shape of the stored image. The numbers depend
  // only on `seed`, `epoch`, `visit` and `stored`. Those of a step depend on other steps of the
  // pipeline only through the shape of the image that reaches the step. `draws`: [draws()].
  void Draw(uint64_t seed, int64_t epoch, int64_t visit, const ImageShape& stored,
            int64_t* draws) const;

  // Returns which part of an image the pipeline needs and the size to which it will be resized;
  // nullopt if the whole image is needed. `stored` and `draws`: as for Draw().
  std::optional<NeededPart> NeedOf(const ImageShape& stored, const int64_t* draws) const;

  // Prepares one image as the random numbers `draws` of Draw() say. `pixels`: the stored image, [H,
  // W, C] of the shape `stored`. `out`: [height(), width(), channels()]. T: float or Bfloat16.
  template <typename T>
  void Apply(absl::Span<const uint8_t> pixels, const ImageShape& stored, const int64_t* draws,
             Scratch* scratch, T* out) const;

  // As Apply(), but gets only the part of the image that NeedOf() asked for. `pixels`: [H, W, C] of
  // the shape `part`. `place`: where these pixels lie in the whole image.
  template <typename T>
  void ApplyToPart(absl::Span<const uint8_t> pixels, const ImageShape& part, const PartPlace& place,
                   const int64_t* draws, Scratch* scratch, T* out) const;

  // Returns whether a DevicePipeline can prepare the images: all stored images have the same shape,
  // and each step can run on a GPU.
  bool on_device() const;

  struct Step {
    std::unique_ptr<const Transform> transform;
    // The number of the random stream that this step draws from.
    uint32_t stream;
  };
  const std::vector<Step>& steps() const { return steps_; }
  const Normalize& normalize() const { return normalize_; }
  // Returns the mean and std that Normalize uses; empty if the pipeline has no Normalize.
  const PixelStatistics& statistics() const { return normalize_.statistics(); }

 private:
  // Adds errors to `problems`; after an error the pipeline must not be used. `statistics`: as in
  // Create(), or null if they are not known yet.
  Pipeline(const SplitConfig& split, const ImageShape& input, const PixelStatistics* statistics,
           const Problems& problems);

  // Prepares the image `pixels`. The caller must have set scratch->shape, the shape of `pixels`,
  // and scratch->place, where they lie in the whole image.
  template <typename T>
  void Run(absl::Span<const uint8_t> pixels, const int64_t* draws, Scratch* scratch, T* out) const;

  ImageShape input_, output_;
  int draws_ = 0;
  std::vector<Step> steps_;
  Normalize normalize_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_PIPELINE_H_
