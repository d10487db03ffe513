#include "src/export/weight_type.h"

#include "absl/strings/str_cat.h"
#include "src/tensor/finite.h"

namespace finetune {

absl::StatusOr<at::Tensor> AsWeightType(const std::string& name, const at::Tensor& tensor,
                                        at::ScalarType type) {
  const at::Tensor value = tensor.detach().cpu().contiguous();
  if (value.dim() < 2 || !value.is_floating_point() || value.scalar_type() == type) return value;
  at::Tensor converted = value.to(type);
  if (IsFinite(converted)) return converted;
  if (!IsFinite(value)) {
    return absl::DataLossError(
        absl::StrCat(name,
                     ": has values that are not finite (NaN or infinity), with which no image "
                     "gets a finite score; export an earlier checkpoint of the run"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(name, type == at::kHalf
                             ? ": has values beyond 65504, which float16 cannot hold; export it as "
                               "bfloat16"
                             : ": has values beyond 3.39e38, which bfloat16 cannot hold; export it "
                               "as float32"));
}

}  // namespace finetune
