#include "src/data/device_pipeline.h"

#include <ATen/core/grad_mode.h>

namespace finetune {

DevicePipeline::DevicePipeline(const Pipeline& pipeline, at::Device device, at::ScalarType type)
    : pipeline_(pipeline),
      type_(type),
      normalize_(pipeline.normalize(), pipeline.channels(), device) {
  for (const Pipeline::Step& step : pipeline.steps()) {
    steps_.push_back(step.transform->OnDevice(device));
  }
}

at::Tensor DevicePipeline::Apply(const at::Tensor& pixels, const at::Tensor& draws) const {
  const at::NoGradGuard no_grad;
  at::Tensor x = pixels.permute({0, 2, 3, 1}).to(at::kFloat);
  int64_t draw = 0;
  for (size_t i = 0; i < steps_.size(); ++i) {
    const int64_t count = pipeline_.steps()[i].transform->draws();
    const at::Tensor own = draws.narrow(1, draw, count);
    draw += count;
    x = i + 1 < steps_.size() ? steps_[i]->Apply(x, own) : steps_[i]->Finish(x, own, normalize_);
  }
  if (steps_.empty()) x = normalize_.Apply(x);
  return x.to(type_).contiguous().permute({0, 3, 1, 2});
}

}  // namespace finetune
