#ifndef FINETUNE_DATA_BATCH_TRANSFORMS_BATCH_TRANSFORM_H_
#define FINETUNE_DATA_BATCH_TRANSFORMS_BATCH_TRANSFORM_H_

#include <ATen/core/Tensor.h>

#include "src/base/bfloat16.h"
#include "src/base/philox.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Mixes the images of a global batch in pairs, and their labels with them. A batch transform runs
// after the pipeline and before the model. Each kind has a file in this folder, which checks the
// kind's config, draws its random numbers, and applies it on the CPU and on a device. all.cc lists
// the kinds.
//
// Images 2k and 2k + 1 of a global batch, in the epoch's order, are partners. The last image of a
// batch of odd size has no partner and stays as it is. If a rank's part begins or ends within a
// pair, Sampler::PartInPairs() adds the missing partner, which this rank then prepares too. So the
// result for an image does not depend on the number of ranks or on micro-batches.
class BatchTransform {
 public:
  virtual ~BatchTransform() = default;

  // Returns the number of random numbers that Draw() writes.
  virtual int draws() const = 0;
  // Draws the random numbers for one global batch of prepared images of this shape. `draws`:
  // [draws()]. draws[0] is the weight of an image's own label, in [0, 1]. The label of its partner
  // has the weight 1 - draws[0].
  virtual void Draw(RandomStream* random, const ImageShape& shape, float* draws) const = 0;

  // Mixes two prepared images in place, with the numbers that Draw() wrote. `a`, `b`: [height,
  // width, channels].
  virtual void Apply(const float* draws, const ImageShape& shape, float* a, float* b) const = 0;
  virtual void Apply(const float* draws, const ImageShape& shape, Bfloat16* a,
                     Bfloat16* b) const = 0;

  // Does what Apply() does, on a device and for all pairs at once. `draws`: [draws()] float32. `a`:
  // the images 2k, `b`: the images 2k + 1, each [pairs, height, width, channels] float32 with any
  // strides. Launches the work and does not wait for it.
  virtual void ApplyOnDevice(const at::Tensor& draws, const at::Tensor& a,
                             const at::Tensor& b) const = 0;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_BATCH_TRANSFORMS_BATCH_TRANSFORM_H_
