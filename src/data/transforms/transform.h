#ifndef FINETUNE_DATA_TRANSFORMS_TRANSFORM_H_
#define FINETUNE_DATA_TRANSFORMS_TRANSFORM_H_

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "src/base/bfloat16.h"
#include "src/base/philox.h"
#include "src/data/image_part.h"
#include "src/data/transforms/taps.h"

namespace finetune {

// The shape of an image before or after a step of a pipeline. Where it stands for all images of a
// data set, height and width are 0 if the images have different sizes, and all three are 0 if the
// data set is not known yet.
struct ImageShape {
  int channels = 0;
  int height = 0;
  int width = 0;

  bool has_size() const { return height > 0 && width > 0; }
  bool operator==(const ImageShape& other) const = default;
};

// An image that passes through a pipeline, with memory for results. Each thread has one and reuses
// it for all its images.
struct Image {
  // The shape of `values`.
  ImageShape shape;
  // Set if `values` are only a part of the image, for which NeedOf() asked: where they lie in the
  // whole image. The pipeline resets it after its first step.
  std::optional<PartPlace> place;
  // The pixels [height, width, channels], from 0 to 255.
  std::vector<float> values;
  // Memory for transforms. A transform writes its result to `next` and then swaps `next` with
  // `values`. `scratch` is for intermediate results.
  std::vector<float> next, scratch;
  // The taps of the last resize, kept because the next image often needs the same.
  Taps rows, columns;
};

// Returns memory for n numbers. It is part of image->scratch, which only grows, because a vector
// that grows writes zeros to its new numbers.
inline float* ScratchOf(Image* image, size_t n) {
  if (image->scratch.size() < n) image->scratch.resize(n);
  return image->scratch.data();
}

// Returns the shape of the whole image, even if only a part of it was decoded.
inline ImageShape WholeShape(const Image& image) {
  if (!image.place.has_value()) return image.shape;
  return {image.shape.channels, image.place->whole.height, image.place->whole.width};
}

class DeviceNormalize;
class Normalize;

// Applies a transform on a device, such as a GPU, to a whole batch at once with LibTorch's
// operators. On a GPU the methods launch the work and do not wait for it.
class DeviceTransform {
 public:
  virtual ~DeviceTransform() = default;
  // Returns the transformed images. `images`: [n, height, width, channels] float32. `draws`: [n,
  // Transform::draws()] int64.
  virtual at::Tensor Apply(const at::Tensor& images, const at::Tensor& draws) const = 0;
  // Applies the transform as the last step of a pipeline and normalizes the result.
  virtual at::Tensor Finish(const at::Tensor& images, const at::Tensor& draws,
                            const DeviceNormalize& normalize) const;
};

// One step of a pipeline. Each kind has a file in this folder, which checks the kind's config,
// computes its geometry, draws its random numbers, and applies it on the CPU and on a device.
// all.cc lists the kinds.
//
// The function that makes a transform (such as MakeResize()) first checks the config, and returns
// null if something is wrong. A config can be checked before the data set is known: the transform
// is then made for an unknown shape, and only output() and mixes_channels() may be called.
//
// The draws of a transform are the random numbers that decide what it does to one image. They are
// made before the image is read, so that they can be sent to a device together with the stored
// image. Each step draws from a random stream of its own: see StepStream().
class Transform {
 public:
  virtual ~Transform() = default;
  // Returns the common shape of all results. Height and width are 0 if results have different
  // sizes.
  virtual ImageShape output() const = 0;
  // Returns the shape of the result for one image of shape `image` with these draws. By default
  // this is output().
  virtual ImageShape OutputOf(const ImageShape& image, const int64_t* draws) const {
    return output();
  }
  // Returns whether a channel of the result is computed from several channels. If so, the mean and
  // std of the stored channels do not apply to it.
  virtual bool mixes_channels() const { return false; }
  // Returns the number of random numbers that Draw() writes.
  virtual int draws() const { return 0; }
  // Draws the random numbers for one image, whose shape before this step is `image`. `draws`:
  // [draws()].
  virtual void Draw(RandomStream* random, const ImageShape& image, int64_t* draws) const {}
  // Returns the part of an image of this shape that the transform needs with these draws; nullopt,
  // the default, means the whole image. It is called for a pipeline's first step, so that no more
  // is decoded than needed. A transform that can return a part must accept an image whose `place`
  // is set in Apply() and Finish().
  virtual std::optional<NeededPart> NeedOf(const ImageShape& image, const int64_t* draws) const {
    return std::nullopt;
  }
  // Applies the transform to `image`, with the numbers that Draw() wrote.
  virtual void Apply(const int64_t* draws, Image* image) const = 0;
  // Applies the transform as the last step of a pipeline and writes the normalized result to `out`,
  // in the shape output(), which all images have after the last step. The content of `image` is
  // unspecified afterwards.
  virtual void Finish(const int64_t* draws, const Normalize& normalize, Image* image,
                      float* out) const;
  virtual void Finish(const int64_t* draws, const Normalize& normalize, Image* image,
                      Bfloat16* out) const;
  // Returns whether OnDevice() is implemented.
  virtual bool on_device() const { return true; }
  // Returns the object that applies this transform on `device`. Call it only if on_device() is true
  // and all images have the same shape. The returned object must not outlive this one.
  virtual std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const = 0;
};

// The numbers of the dimensions in the image tensors of a DeviceTransform.
inline constexpr int64_t kRows = 1, kColumns = 2, kChannels = 3;

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_TRANSFORM_H_
