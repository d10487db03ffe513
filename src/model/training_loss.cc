#include "src/model/training_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/zeros.h>

#include <utility>

#include "absl/strings/str_format.h"
#include "src/config/problems.h"
#include "src/model/loss.h"

namespace finetune {
namespace {

// Returns [N, classes] in the logits' type: 1 for an image's class, 0 for the others; or `targets`
// themselves where they are distributions.
at::Tensor Distributions(const at::Tensor& logits, const at::Tensor& targets) {
  if (targets.dim() == 2) return targets;
  return at::zeros(logits.sizes(), logits.options()).scatter_(1, targets.unsqueeze(1), 1);
}

// Checks that a threshold divides the targets, which label_smoothing leaves between 0 and 1.
void CheckThreshold(const HeadConfig& config, const Problems& problems) {
  const double threshold = config.bce().target_threshold();
  if (!problems.IsFraction("target_threshold", threshold) || config.num_classes() < 1) return;
  const double least = config.label_smoothing() / config.num_classes();
  const double most = 1 - config.label_smoothing() + least;
  if (threshold >= least && threshold < most) return;
  problems.Error("target_threshold",
                 absl::StrFormat("is %g; label_smoothing makes the targets %g and %g, and so all "
                                 "would be %d: expected at least %g and less than %g",
                                 threshold, least, most, threshold < least ? 1 : 0, least, most));
}

void CheckFocal(const HeadConfig& config, const Problems& problems) {
  const FocalLossConfig& focal = config.focal();
  problems.AtLeast("gamma", focal.gamma(), 0);
  if (focal.alpha() != -1) problems.InRange("alpha", focal.alpha(), 0, 1);
  if (config.label_smoothing() > 0) {
    problems.Error("",
                   "is defined for labels that are certain, and label_smoothing is more than "
                   "0: drop one of them");
  }
}

}  // namespace

void TrainingLoss::Check(const HeadConfig& config, const Problems& problems) {
  problems.IsFraction("label_smoothing", config.label_smoothing());
  switch (config.loss_case()) {
    case HeadConfig::kBce:
      if (config.bce().has_target_threshold()) CheckThreshold(config, problems.Within("bce"));
      break;
    case HeadConfig::kFocal:
      CheckFocal(config, problems.Within("focal"));
      break;
    case HeadConfig::kCrossEntropy:
    case HeadConfig::LOSS_NOT_SET:
      break;
  }
}

TrainingLoss::TrainingLoss(const HeadConfig& config, at::Tensor class_weights)
    : config_(config), class_weights_(std::move(class_weights)) {}

at::Tensor TrainingLoss::Sum(const at::Tensor& logits, const at::Tensor& targets) const {
  switch (config_.loss_case()) {
    case HeadConfig::kBce:
      return BinaryCrossEntropySum(logits, targets);
    case HeadConfig::kFocal:
      return FocalSum(logits, targets);
    case HeadConfig::kCrossEntropy:
    case HeadConfig::LOSS_NOT_SET:
      break;
  }
  return CrossEntropySum(logits, targets, config_.label_smoothing(), class_weights_);
}

at::Tensor TrainingLoss::BinaryCrossEntropySum(const at::Tensor& logits,
                                               const at::Tensor& targets) const {
  const BinaryCrossEntropyLossConfig& bce = config_.bce();
  const auto classes = static_cast<double>(logits.size(1));
  const double smoothing = config_.label_smoothing();
  at::Tensor each = Distributions(logits, targets);
  if (smoothing > 0) each = each.mul(1 - smoothing).add_(smoothing / classes);
  if (bce.has_target_threshold()) each = each.gt(bce.target_threshold()).to(logits.scalar_type());
  const at::Tensor sum =
      at::binary_cross_entropy_with_logits(logits, each, class_weights_,
                                           /*pos_weight=*/{}, at::Reduction::Sum);
  return bce.sum_classes() ? sum : sum.div(classes);
}

// With z = logit for the image's own class and -logit for the others, p = sigmoid(z). The power is
// computed as exp(gamma * log(1 - p)), whose gradient is finite also where p rounds to 1 and gamma
// is less than 1.
at::Tensor TrainingLoss::FocalSum(const at::Tensor& logits, const at::Tensor& targets) const {
  const double gamma = config_.focal().gamma(), alpha = config_.focal().alpha();
  const at::Tensor own = Distributions(logits, targets);
  const at::Tensor z = logits.mul(own.mul(2).sub_(1));
  at::Tensor loss = at::log_sigmoid(z).neg();
  if (gamma > 0) loss = loss.mul(at::log_sigmoid(z.neg()).mul(gamma).exp());
  if (alpha >= 0) loss = loss.mul(own.mul(2 * alpha - 1).add_(1 - alpha));
  if (class_weights_.defined()) loss = loss.mul(class_weights_);
  return loss.sum();
}

}  // namespace finetune
