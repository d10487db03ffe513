#ifndef FINETUNE_DATA_DEVICE_PIPELINE_H_
#define FINETUNE_DATA_DEVICE_PIPELINE_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "src/data/pipeline.h"
#include "src/data/transforms/normalize.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// A Pipeline by LibTorch's operators, a whole batch at a time: a GPU is sent the stored images,
// which are smaller than what becomes of them, and prepares them itself.
class DevicePipeline {
 public:
  // `pipeline` must outlive it. `type`: of the result, float32 or bfloat16.
  DevicePipeline(const Pipeline& pipeline, at::Device device, at::ScalarType type);

  // What Pipeline::Apply() makes of each image, to the last bits of float32. `pixels`: [n, C, H, W]
  // uint8, channels-last in memory. `draws`: [n, pipeline.draws()] int64. Both on the device.
  // Returns [n, C, height, width], channels-last. Launches work and waits for none.
  at::Tensor Apply(const at::Tensor& pixels, const at::Tensor& draws) const;

 private:
  const Pipeline& pipeline_;
  const at::ScalarType type_;
  // One for each of the pipeline's steps.
  std::vector<std::unique_ptr<DeviceTransform>> steps_;
  const DeviceNormalize normalize_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_DEVICE_PIPELINE_H_
