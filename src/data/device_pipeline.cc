#include "src/data/device_pipeline.h"

#include <ATen/core/grad_mode.h>

namespace finetune {

DevicePipeline::DevicePipeline(const Pipeline& pipeline, const BatchTransform* batch_transform,
                               at::Device device, at::ScalarType type)
    : pipeline_(pipeline),
      batch_transform_(batch_transform),
      type_(type),
      normalize_(pipeline.normalize(), pipeline.channels(), device) {
  for (const Pipeline::Step& step : pipeline.steps()) {
    steps_.push_back(step.transform->OnDevice(device));
  }
}

at::Tensor DevicePipeline::Apply(const Batch& batch) const {
  const at::NoGradGuard no_grad;
  at::Tensor x = batch.images.permute({0, 2, 3, 1}).to(at::kFloat);
  int64_t draw = 0;
  for (size_t i = 0; i < steps_.size(); ++i) {
    const int64_t count = pipeline_.steps()[i].transform->draws();
    const at::Tensor own = batch.draws.narrow(1, draw, count);
    draw += count;
    x = i + 1 < steps_.size() ? steps_[i]->Apply(x, own) : steps_[i]->Finish(x, own, normalize_);
  }
  if (steps_.empty()) x = normalize_.Apply(x);
  if (batch_transform_ != nullptr) {
    // The normalized `x` is a new tensor, so the batch transform may change it in place. Rows 2k
    // and 2k + 1 are partners. With an odd number of rows the last row has no partner.
    const int64_t pairs = x.size(0) / 2;
    const at::Tensor paired = x.narrow(0, 0, 2 * pairs).unflatten(0, {pairs, 2});
    batch_transform_->ApplyOnDevice(batch.mixing, paired.select(1, 0), paired.select(1, 1));
    x = x.narrow(0, batch.first, batch.labels.size(0));
  }
  return x.to(type_).contiguous().permute({0, 3, 1, 2});
}

}  // namespace finetune
