#include "src/model/neck.h"

#include "absl/strings/str_cat.h"
#include "src/config/problems.h"

namespace finetune {

void Neck::Check(const NeckConfig& config, const Backbone& backbone, const Problems& problems) {
  const bool pools = config.kind() == NeckConfig::GLOBAL_AVERAGE_POOLING;
  if (!backbone.features().are_maps) {
    if (!config.has_kind() || !pools) return;
    problems.Warn("kind", absl::StrCat("is GLOBAL_AVERAGE_POOLING, which has no effect: ",
                                       backbone.name(), " ends in vectors; set NONE"));
    return;
  }
  if (pools) return;
  problems.Error("kind",
                 absl::StrCat("is NONE; ", backbone.name(),
                              " ends in a feature map, which the linear head can only take with "
                              "GLOBAL_AVERAGE_POOLING"));
}

at::Tensor Neck::Forward(const at::Tensor& features) const {
  return pools_ ? features.mean({2, 3}, /*keepdim=*/false, at::kFloat) : features;
}

}  // namespace finetune
