#ifndef FINETUNE_DATA_BATCH_TRANSFORMS_BATCH_TRANSFORM_H_
#define FINETUNE_DATA_BATCH_TRANSFORMS_BATCH_TRANSFORM_H_

#include <ATen/core/Tensor.h>

#include "src/base/bfloat16.h"
#include "src/base/philox.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Mixes the images of a global batch in pairs, and with them their labels. It stands between the
// pipeline and the model. Each kind is a file of this folder with its check of the config, its
// draws, its CPU side and its device side; all.cc lists them.
//
// Images 2k and 2k + 1 of a global batch, in the epoch's order, are partners; the last image of an
// odd batch has none and stays as it is. Sampler::PartInPairs() gives a rank whose part begins or
// ends within a pair the missing image, which the rank prepares as its owner does. So what becomes
// of an image does not depend on the number of ranks or on micro-batches.
class BatchTransform {
 public:
  virtual ~BatchTransform() = default;

  // How many numbers Draw() writes.
  virtual int draws() const = 0;
  // Chooses what is done to one global batch, of prepared images of this shape. `draws`: [draws()];
  // the first is the share of an image's label that is its own, in [0, 1]. Its partner's label has
  // the rest.
  virtual void Draw(RandomStream* random, const ImageShape& shape, float* draws) const = 0;

  // Mixes two prepared images in place, as Draw() chose. `a`, `b`: [height, width, channels].
  virtual void Apply(const float* draws, const ImageShape& shape, float* a, float* b) const = 0;
  virtual void Apply(const float* draws, const ImageShape& shape, Bfloat16* a,
                     Bfloat16* b) const = 0;

  // The same on a device, for all pairs at once. `draws`: [draws()] float32. `a`, `b`: [pairs,
  // height, width, channels] float32, the images 2k and 2k + 1, with any strides. Launches work and
  // waits for none.
  virtual void ApplyOnDevice(const at::Tensor& draws, const at::Tensor& a,
                             const at::Tensor& b) const = 0;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_BATCH_TRANSFORMS_BATCH_TRANSFORM_H_
