#ifndef FINETUNE_DATA_DEVICE_PIPELINE_H_
#define FINETUNE_DATA_DEVICE_PIPELINE_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "src/data/batch.h"
#include "src/data/batch_transforms/batch_transform.h"
#include "src/data/pipeline.h"
#include "src/data/transforms/normalize.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Applies a Pipeline and a BatchTransform to a whole batch with LibTorch's operators. A GPU
// receives the stored images, which are smaller than the prepared ones, and prepares them itself.
class DevicePipeline {
 public:
  // `pipeline` must be on_device(). `batch_transform` may be null. Both must outlive this object.
  // `type`: the type of the result, float32 or bfloat16.
  DevicePipeline(const Pipeline& pipeline, const BatchTransform* batch_transform, at::Device device,
                 at::ScalarType type);

  // Returns the images that Pipeline::Apply() and BatchTransform::Apply() would return, except for
  // rounding in the last bits of float32: [n, C, height, width], channels-last. `batch`: stored
  // images on the device. Launches the work and does not wait for it.
  at::Tensor Apply(const Batch& batch) const;

 private:
  const Pipeline& pipeline_;
  const BatchTransform* const batch_transform_;
  const at::ScalarType type_;
  // The device side of each step of the pipeline.
  std::vector<std::unique_ptr<DeviceTransform>> steps_;
  const DeviceNormalize normalize_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_DEVICE_PIPELINE_H_
