#include "src/data/batch.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

namespace finetune {

at::Tensor Targets(const Batch& batch, int64_t classes) {
  if (!batch.partner_labels.defined()) return batch.labels;
  const int64_t n = batch.labels.size(0);
  const at::Tensor own = batch.mixing[0];
  at::Tensor targets = at::zeros({n, classes}, batch.mixing.options());
  // Added, not set: if an image and its partner have the same class, the two weights must add up to
  // 1.
  targets.scatter_add_(1, batch.labels.unsqueeze(1), own.expand({n, 1}));
  targets.scatter_add_(1, batch.partner_labels.unsqueeze(1), (1 - own).expand({n, 1}));
  return targets;
}

}  // namespace finetune
