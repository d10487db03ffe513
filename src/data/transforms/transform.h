#ifndef FINETUNE_DATA_TRANSFORMS_TRANSFORM_H_
#define FINETUNE_DATA_TRANSFORMS_TRANSFORM_H_

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "src/base/bfloat16.h"
#include "src/base/philox.h"

namespace finetune {

// The size of an image at one place of a pipeline. A number that is not known yet is 0.
struct ImageShape {
  int channels = 0;
  int height = 0;
  int width = 0;
};

// An image on its way through a pipeline, with space for the next result. One a thread, reused from
// image to image.
struct Image {
  ImageShape shape;
  // [height, width, channels].
  std::vector<float> values;
  // A transform writes its result to `next` and swaps it with `values`; `scratch` is for what it
  // needs in between.
  std::vector<float> next, scratch;
};

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

// One step of a pipeline, for images of one shape. Each kind is a file of this folder with its
// check of the config, its geometry, its draws, its CPU side and its device side; all.cc lists
// them.
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
  // The shape of the result.
  virtual ImageShape output() const = 0;
  // Whether a channel of the result is made of several, so that statistics of the stored channels
  // do not hold for it.
  virtual bool mixes_channels() const { return false; }
  // How many numbers Draw() writes.
  virtual int draws() const { return 0; }
  // Chooses what is done to one image. `draws`: [draws()].
  virtual void Draw(RandomStream* random, int64_t* draws) const {}
  // Changes an image as Draw() chose.
  virtual void Apply(const int64_t* draws, Image* image) const = 0;
  // Applies the transform, the last of its pipeline, and writes the normalised result to `out`, as
  // many values as output() has. `image` is left in any state.
  virtual void Finish(const int64_t* draws, const Normalize& normalize, Image* image,
                      float* out) const;
  virtual void Finish(const int64_t* draws, const Normalize& normalize, Image* image,
                      Bfloat16* out) const;
  // The same transform on a device; must not outlive this.
  virtual std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const = 0;
};

// The dimensions of DeviceTransform's images.
inline constexpr int64_t kRows = 1, kColumns = 2, kChannels = 3;

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_TRANSFORM_H_
