#include "src/export/weight_type.h"

#include <ATen/ops/isfinite.h>

#include "absl/strings/str_cat.h"

namespace finetune {

absl::StatusOr<at::Tensor> AsWeightType(const std::string& name, const at::Tensor& tensor,
                                        at::ScalarType type) {
  const at::Tensor value = tensor.detach().cpu().contiguous();
  if (value.dim() < 2 || !value.is_floating_point()) return value;
  at::Tensor converted = value.to(type);
  if (type == at::kHalf && !converted.isfinite().all().item<bool>()) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": has values beyond 65504, which float16 cannot hold; export it as bfloat16"));
  }
  return converted;
}

}  // namespace finetune
