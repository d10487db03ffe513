#include "src/model/loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/where.h>

namespace finetune {

at::Tensor CrossEntropySum(const at::Tensor& logits, const at::Tensor& targets,
                           double label_smoothing, const at::Tensor& class_weights) {
  return at::cross_entropy_loss(logits, targets, class_weights, at::Reduction::Sum,
                                /*ignore_index=*/-100, label_smoothing);
}

at::Tensor CrossEntropy(const at::Tensor& logits, const at::Tensor& targets,
                        double label_smoothing) {
  return at::cross_entropy_loss(logits, targets, /*weight=*/{}, at::Reduction::None,
                                /*ignore_index=*/-100, label_smoothing);
}

at::Tensor LabelRanks(const at::Tensor& logits, const at::Tensor& labels) {
  const at::NoGradGuard no_grad;
  const at::Tensor label = labels.unsqueeze(1);
  const at::Tensor own = logits.gather(1, label);
  const at::Tensor classes = at::arange(logits.size(1), labels.options()).unsqueeze(0);
  // Counts the classes that do not come after the label: a comparison with NaN is false and so
  // counts against the label.
  const at::Tensor behind = at::where(classes < label, logits < own, logits <= own);
  const at::Tensor rank = behind.logical_or(classes == label).logical_not().sum(1);
  // A label whose own logit is NaN has every other class before it. It is right only for k =
  // classes.
  return rank.to(at::kCPU).contiguous();
}

std::vector<int64_t> TopKCorrect(const at::Tensor& logits, const at::Tensor& labels,
                                 const std::vector<int>& ks) {
  const at::Tensor ranks = LabelRanks(logits, labels);
  std::vector<int64_t> correct(ks.size(), 0);
  for (size_t i = 0; i < ks.size(); ++i) {
    for (int64_t n = 0; n < ranks.numel(); ++n) {
      correct[i] += ranks.const_data_ptr<int64_t>()[n] < ks[i] ? 1 : 0;
    }
  }
  return correct;
}

}  // namespace finetune
