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

// Applies a Pipeline and a BatchTransform to a whole batch with LibTorch's operators, so that a GPU
// can prepare images. Then only the stored images are copied to the GPU, which have fewer bytes
// than the prepared ones.
class DevicePipeline {
 public:
  // Pipeline::on_device() must be true of `pipeline`. `batch_transform`: null for none. Both must
  // outlive this object. `device`: where the batches will be. `type`: the type of the result,
  // float32 or bfloat16.
  DevicePipeline(const Pipeline& pipeline, const BatchTransform* batch_transform, at::Device device,
                 at::ScalarType type);

  // Returns the prepared images of `batch`: [n, C, height, width], channels-last in memory. They
  // are those that Pipeline::Apply() and BatchTransform::Apply() make on the CPU, except for the
  // rounding of the last bits. `batch`: stored images, on the device. On a GPU it launches the work
  // and does not wait for it.
  at::Tensor Apply(const Batch& batch) const;

 private:
  const Pipeline& pipeline_;
  const BatchTransform* const batch_transform_;
  const at::ScalarType type_;
  // For each step of the pipeline, the object that applies it on the device.
  std::vector<std::unique_ptr<DeviceTransform>> steps_;
  const DeviceNormalize normalize_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_DEVICE_PIPELINE_H_
