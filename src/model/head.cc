#include "src/model/head.h"

#include <ATen/ops/linear.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/config/problems.h"
#include "src/model/class_weights.h"
#include "src/model/dropout.h"
#include "src/model/training_loss.h"

namespace finetune {

void Head::Check(const HeadConfig& config, const Problems& problems) {
  if (!config.has_num_classes()) {
    problems.Error("num_classes", "is not set; expected the number of classes of the data");
  } else if (problems.InRange("num_classes", config.num_classes(), 2, 1 << 20)) {
    for (int i = 0; i < config.topk_size(); ++i) {
      if (config.topk(i) >= 1 && config.topk(i) <= config.num_classes()) continue;
      problems.Error(absl::StrCat("topk[", i, "]"),
                     absl::StrCat("is ", config.topk(i), "; expected 1 to num_classes, which is ",
                                  config.num_classes()));
    }
  }
  if (config.has_class_weights() && config.has_num_classes()) {
    CheckClassWeights(config.class_weights(), config.num_classes(),
                      problems.Within("class_weights"));
  }
  TrainingLoss::Check(config, problems);
  problems.IsFraction("dropout", config.dropout());
}

Head::Head(const HeadConfig& config, Linear linear, uint64_t seed)
    : linear_(std::move(linear)), dropout_(config.dropout()), seed_(seed) {}

at::Tensor Head::Forward(const at::Tensor& vectors, const ForwardContext& context) const {
  const at::Tensor x =
      dropout_ > 0 && context.training ? Dropout(vectors, dropout_, seed_, context) : vectors;
  return at::linear(x, linear_.weight, linear_.bias);
}

}  // namespace finetune
