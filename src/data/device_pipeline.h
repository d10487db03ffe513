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

// A Pipeline and a BatchTransform by LibTorch's operators, a whole batch at a time: a GPU is sent
// the stored images, which are smaller than what becomes of them, and prepares them itself.
class DevicePipeline {
 public:
  // `pipeline`, which is on_device(), and `batch_transform`, which may be null, must outlive it.
  // `type`: of the result, float32 or bfloat16.
  DevicePipeline(const Pipeline& pipeline, const BatchTransform* batch_transform, at::Device device,
                 at::ScalarType type);

  // Returns what Pipeline::Apply() and BatchTransform::Apply() make of the images, to the last bits
  // of float32: [n, C, height, width], channels-last. `batch`: of stored images, on the device.
  // Launches work and waits for none.
  at::Tensor Apply(const Batch& batch) const;

 private:
  const Pipeline& pipeline_;
  const BatchTransform* const batch_transform_;
  const at::ScalarType type_;
  // One for each of the pipeline's steps.
  std::vector<std::unique_ptr<DeviceTransform>> steps_;
  const DeviceNormalize normalize_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_DEVICE_PIPELINE_H_
