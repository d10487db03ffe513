#ifndef FINETUNE_DATA_TRANSFORMS_RESAMPLE_H_
#define FINETUNE_DATA_TRANSFORMS_RESAMPLE_H_

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/taps.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Reads the fields interpolation, antialias and rounding of a transform's config. If they
// contradict each other, adds an error to `problems` and returns nullopt.
template <typename Config>
std::optional<Resampling> ReadResampling(const Config& config, const Problems& problems) {
  const Resampling resampling = {config.interpolation() == BICUBIC, config.antialias(),
                                 config.rounding() == UINT8};
  if (resampling.rounded && resampling.bicubic && !resampling.antialias) {
    problems.Error("rounding",
                   "is UINT8 with BICUBIC and no antialias; expected UNROUNDED: only "
                   "OpenCV's bilinear and Pillow's results are known to the bit");
    return std::nullopt;
  }
  return resampling;
}

// Reads the field size, or the fields height and width, of a transform's config. The channels of
// the result are 0. If the fields are missing or out of range, adds an error to `problems` and
// returns nullopt.
template <typename Config>
std::optional<ImageShape> ReadSize(const Config& config, const Problems& problems) {
  if (config.has_size() == (config.has_height() || config.has_width()) ||
      config.has_height() != config.has_width()) {
    problems.Error("", "expected size, or height and width");
    return std::nullopt;
  }
  if (config.has_size()) {
    if (!problems.InRange("size", config.size(), 1, 8192)) return std::nullopt;
    return ImageShape{0, config.size(), config.size()};
  }
  const bool height = problems.InRange("height", config.height(), 1, 8192);
  const bool width = problems.InRange("width", config.width(), 1, 8192);
  if (!height || !width) return std::nullopt;
  return ImageShape{0, config.height(), config.width()};
}

// A transform that resizes a rectangle of each image.
//
// Method: first each row of the rectangle is resized to the result's width, into Image::scratch.
// Then each row of the result is a weighted sum of these rows. In a pipeline's last step the rows
// are normalized as they are written to `scratch`, which gives the same result, because the weights
// of a sum add up to 1. So the result, which may be much larger than the rectangle, is written only
// once.
class ResizingTransform : public Transform {
 public:
  explicit ResizingTransform(const Resampling& resampling) : resampling_(resampling) {}

  std::optional<NeededPart> NeedOf(const ImageShape& image, const int64_t* draws) const final;
  void Apply(const int64_t* draws, Image* image) const final;
  void Finish(const int64_t* draws, const Normalize& normalize, Image* image,
              float* out) const final;
  void Finish(const int64_t* draws, const Normalize& normalize, Image* image,
              Bfloat16* out) const final;

 protected:
  // Returns the rectangle of an image of the shape `image` that is resized, in pixels.
  virtual ImageRectangle PartOf(const ImageShape& image, const int64_t* draws) const = 0;

  const Resampling& resampling() const { return resampling_; }

 private:
  // The result of Prepare(). (top, left): the first pixel in Image::values that the rectangle
  // touches. result: the shape after resizing.
  struct Source {
    int top = 0, left = 0;
    ImageShape result;
  };
  // Finds the rectangle in image->values, where perhaps only a part of the image was decoded, and
  // sets image->rows and image->columns to the taps of the resize.
  Source Prepare(const int64_t* draws, Image* image) const;

  // Resizes to `out` and scales the values of channel c: x * scale[c] + shift[c].
  template <typename T>
  void Resample(const int64_t* draws, const std::array<float, 3>& scale,
                const std::array<float, 3>& shift, Image* image, T* out) const;

  const Resampling resampling_;
};

// Resizes images [n, height, width, channels] on a device by two matrix products. `rows`: [n,
// results, height], the weight of each row of an image in each row of its result, or [1, results,
// height] for all images. `columns`: the same for columns, [n or 1, results, width].
at::Tensor ResampleOnDevice(const at::Tensor& images, const at::Tensor& rows,
                            const at::Tensor& columns);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_RESAMPLE_H_
