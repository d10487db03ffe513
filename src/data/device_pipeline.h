#ifndef FINETUNE_DATA_DEVICE_PIPELINE_H_
#define FINETUNE_DATA_DEVICE_PIPELINE_H_

#include <ATen/core/Tensor.h>

#include <vector>

#include "src/data/pipeline.h"

namespace finetune {

// A Pipeline by LibTorch's operators, a whole batch at a time: a GPU is sent the stored pictures,
// which are smaller than what becomes of them, and prepares them itself.
class DevicePipeline {
 public:
  // `pipeline` must outlive it. `type`: of the result, float32 or bfloat16.
  DevicePipeline(const Pipeline& pipeline, at::Device device, at::ScalarType type);

  // What Pipeline::Apply() makes of each picture, to the last bits of float32. `pixels`: [n, C, H,
  // W] uint8, channels-last in memory. `draws`: [n, pipeline.draws()] int64. Both on the device.
  // Returns [n, C, height, width], channels-last. Launches work and waits for none.
  at::Tensor Apply(const at::Tensor& pixels, const at::Tensor& draws) const;

 private:
  // Of an axis to be resized, [size] each: the neighbours and the right one's weight.
  struct Axis {
    at::Tensor left, right, weight;
  };
  // Of one step; a crop has a window [size] of offsets, a resize both axes, others nothing.
  struct Constants {
    at::Tensor window;
    Axis rows, columns;
  };

  // Of pictures [n, H, W, C]; `top` and `left`: [n].
  static at::Tensor Crop(const at::Tensor& x, const Pipeline::Crop& crop, const at::Tensor& window,
                         const at::Tensor& top, const at::Tensor& left);
  static at::Tensor Resize(const at::Tensor& x, int64_t dimension, const Axis& axis);
  static at::Tensor Grayscale(const at::Tensor& x, const Pipeline::Grayscale& grey);
  at::Tensor Normalise(const at::Tensor& x) const;

  const Pipeline& pipeline_;
  const at::ScalarType type_;
  std::vector<Constants> constants_;
  at::Tensor scale_, shift_;  // [C]
};

}  // namespace finetune

#endif  // FINETUNE_DATA_DEVICE_PIPELINE_H_
