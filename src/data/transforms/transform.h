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
#include "src/data/picture_part.h"
#include "src/data/transforms/taps.h"

namespace finetune {

// The size of an image at one place of a pipeline. Before there are data, all three are 0. Where
// the images have different sizes, height and width of what holds for all of them are 0; an image's
// own shape has them.
struct ImageShape {
  int channels = 0;
  int height = 0;
  int width = 0;

  bool has_size() const { return height > 0 && width > 0; }
  bool operator==(const ImageShape& other) const = default;
};

// An image on its way through a pipeline, with space for the next result. One a thread, reused from
// image to image.
struct Image {
  // Of the values.
  ImageShape shape;
  // Where the values are only the part of an image that NeedOf() asked for. The pipeline takes it
  // away after its first step.
  std::optional<PartPlace> place;
  // [height, width, channels].
  std::vector<float> values;
  // A transform writes its result to `next` and swaps it with `values`; `scratch` is for what it
  // needs in between.
  std::vector<float> next, scratch;
  // Of the last resize.
  Taps rows, columns;
};

// The shape of the whole image.
inline ImageShape WholeShape(const Image& image) {
  if (!image.place.has_value()) return image.shape;
  return {image.shape.channels, image.place->whole.height, image.place->whole.width};
}

class DeviceNormalize;
class Normalize;

// The device side of a transform: a whole batch by LibTorch's operators. Launches work and waits
// for none.
class DeviceTransform {
 public:
  virtual ~DeviceTransform() = default;
  // `images`: [n, height, width, channels] float32. `draws`: [n, Transform::draws()] int64.
  virtual at::Tensor Apply(const at::Tensor& images, const at::Tensor& draws) const = 0;
  // Applies the transform, the last of its pipeline, and normalises the result.
  virtual at::Tensor Finish(const at::Tensor& images, const at::Tensor& draws,
                            const DeviceNormalize& normalize) const;
};

// One step of a pipeline, for images of one shape, or of several: see ImageShape. Each kind is a
// file of this folder with its check of the config, its geometry, its draws, its CPU side and its
// device side; all.cc lists them.
//
// The function that makes a transform checks its config first, and returns null where something is
// wrong. So a config is checked before the data is there by making its transforms for a shape that
// is not known: output() and mixes_channels() answer for that too, and nothing else is asked.
//
// Draws are made before the image is read, so that the device side can be sent them with the stored
// image. Each step draws from a stream of its own: see StepStream().
class Transform {
 public:
  virtual ~Transform() = default;
  // The shape of all results; height and width are 0 where these differ.
  virtual ImageShape output() const = 0;
  // The shape of one result, of an image of this shape and with these draws. By default output().
  virtual ImageShape OutputOf(const ImageShape& image, const int64_t* draws) const {
    return output();
  }
  // Whether a channel of the result is made of several, so that statistics of the stored channels
  // do not hold for it.
  virtual bool mixes_channels() const { return false; }
  // How many numbers Draw() writes.
  virtual int draws() const { return 0; }
  // Chooses what is done to one image, which has this shape here. `draws`: [draws()].
  virtual void Draw(RandomStream* random, const ImageShape& image, int64_t* draws) const {}
  // The part of an image of this shape that the transform needs with these draws. Asked of a
  // pipeline's first step, so that no more is decoded. Nothing, the default: all of it. A transform
  // that returns something takes an image with a place in Apply() and Finish().
  virtual std::optional<NeededPart> NeedOf(const ImageShape& image, const int64_t* draws) const {
    return std::nullopt;
  }
  // Changes an image as Draw() chose.
  virtual void Apply(const int64_t* draws, Image* image) const = 0;
  // Applies the transform, the last of its pipeline, and writes the normalised result to `out`, as
  // many values as output() has. Images of several shapes have become ones of one shape then.
  // `image` is left in any state.
  virtual void Finish(const int64_t* draws, const Normalize& normalize, Image* image,
                      float* out) const;
  virtual void Finish(const int64_t* draws, const Normalize& normalize, Image* image,
                      Bfloat16* out) const;
  // Whether there is a device side.
  virtual bool on_device() const { return true; }
  // The same transform on a device, for images that all have one shape; must not outlive this. Only
  // where on_device().
  virtual std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const = 0;
};

// The dimensions of DeviceTransform's images.
inline constexpr int64_t kRows = 1, kColumns = 2, kChannels = 3;

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_TRANSFORM_H_
