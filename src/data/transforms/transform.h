#ifndef FINETUNE_DATA_TRANSFORMS_TRANSFORM_H_
#define FINETUNE_DATA_TRANSFORMS_TRANSFORM_H_

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "src/base/bfloat16.h"
#include "src/base/philox.h"
#include "src/data/image_part.h"
#include "src/data/transforms/taps.h"

namespace finetune {

// The shape of an image at one place of a pipeline. All three are 0 if no data set is known yet. If
// the images have different sizes, their common shape has a height and width of 0, and each image
// has a shape of its own.
struct ImageShape {
  int channels = 0;
  int height = 0;
  int width = 0;

  bool has_size() const { return height > 0 && width > 0; }
  bool operator==(const ImageShape& other) const = default;
};

// An image on its way through a pipeline, with space for the next result. Each thread has one and
// reuses it for all its images.
struct Image {
  // Of the values.
  ImageShape shape;
  // Where the values are only the part of an image that NeedOf() asked for. The pipeline takes it
  // away after its first step.
  std::optional<PartPlace> place;
  // [height, width, channels].
  std::vector<float> values;
  // A transform writes its result to `next` and swaps it with `values`. `scratch` holds
  // intermediate results.
  std::vector<float> next, scratch;
  // The taps of the last resize.
  Taps rows, columns;
};

// The shape of the whole image.
inline ImageShape WholeShape(const Image& image) {
  if (!image.place.has_value()) return image.shape;
  return {image.shape.channels, image.place->whole.height, image.place->whole.width};
}

class DeviceNormalize;
class Normalize;

// Applies a transform on a device, to a whole batch with LibTorch's operators. Launches the work
// and does not wait for it.
class DeviceTransform {
 public:
  virtual ~DeviceTransform() = default;
  // `images`: [n, height, width, channels] float32. `draws`: [n, Transform::draws()] int64.
  virtual at::Tensor Apply(const at::Tensor& images, const at::Tensor& draws) const = 0;
  // Applies the transform, which is the last of its pipeline, and normalises the result.
  virtual at::Tensor Finish(const at::Tensor& images, const at::Tensor& draws,
                            const DeviceNormalize& normalize) const;
};

// One step of a pipeline, for images of one or of several shapes: see ImageShape. Each kind has a
// file in this folder, with the check of its config, its geometry, its draws (the random numbers
// that it takes), its CPU code and its device code. all.cc lists the kinds.
//
// The function that makes a transform checks its config first, and returns null where something is
// wrong. So a config can be checked before there is a data set: its transforms are made for an
// unknown shape. Then only output() and mixes_channels() may be called.
//
// Draws are made before the image is read, so that they can be sent to a device together with the
// stored image. Each step draws from its own stream of random numbers: see StepStream().
class Transform {
 public:
  virtual ~Transform() = default;
  // Returns the shape of all results. Height and width are 0 where results have different sizes.
  virtual ImageShape output() const = 0;
  // Returns the shape of the result for an image of shape `image` with these draws. By default
  // output().
  virtual ImageShape OutputOf(const ImageShape& image, const int64_t* draws) const {
    return output();
  }
  // Returns whether a channel of the result is computed from several channels. If so, the
  // statistics of the stored channels do not hold for it.
  virtual bool mixes_channels() const { return false; }
  // Returns how many numbers Draw() writes.
  virtual int draws() const { return 0; }
  // Draws the random numbers for one image, which has the shape `image` before this step. `draws`:
  // [draws()].
  virtual void Draw(RandomStream* random, const ImageShape& image, int64_t* draws) const {}
  // The part of an image of this shape that the transform needs with these draws. Asked of a
  // pipeline's first step, so that no more is decoded. Nothing, the default: all of it. A transform
  // that returns something takes an image with a place in Apply() and Finish().
  virtual std::optional<NeededPart> NeedOf(const ImageShape& image, const int64_t* draws) const {
    return std::nullopt;
  }
  // Changes an image as Draw() chose.
  virtual void Apply(const int64_t* draws, Image* image) const = 0;
  // Applies the transform, which is the last of its pipeline, and writes the normalised result to
  // `out`, in the shape of output(). By now all images have the same shape. The content of `image`
  // is unspecified afterwards.
  virtual void Finish(const int64_t* draws, const Normalize& normalize, Image* image,
                      float* out) const;
  virtual void Finish(const int64_t* draws, const Normalize& normalize, Image* image,
                      Bfloat16* out) const;
  // Returns whether the transform also runs on a device.
  virtual bool on_device() const { return true; }
  // Returns the same transform on a device, for images that all have one shape. The result must not
  // outlive this object. Only where on_device() is true.
  virtual std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const = 0;
};

// The dimensions of DeviceTransform's images.
inline constexpr int64_t kRows = 1, kColumns = 2, kChannels = 3;

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_TRANSFORM_H_
