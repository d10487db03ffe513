#ifndef FINETUNE_MODEL_TRAINING_LOSS_H_
#define FINETUNE_MODEL_TRAINING_LOSS_H_

#include <ATen/core/Tensor.h>

#include "src/config/experiment.pb.h"

namespace finetune {

class Problems;

// The loss that training minimizes: the cross-entropy of the softmax, a binary cross-entropy for
// each class, or the focal loss, as model.head chooses. experiment.proto defines each.
class TrainingLoss {
 public:
  // Checks label_smoothing and the loss. Errors go to `problems`, which must be those of the
  // message model.head.
  static void Check(const HeadConfig& config, const Problems& problems);

  // `class_weights`: the factor of each class's term, [classes] float32 on the device of the
  // logits. Undefined: every factor is 1.
  TrainingLoss(const HeadConfig& config, at::Tensor class_weights);

  // Returns the loss summed over the images: a scalar. logits: [N, classes] float32. targets: the
  // images' classes, [N] int64, or distributions over the classes, [N, classes] float32. The focal
  // loss needs classes, or distributions that are 0 or 1.
  at::Tensor Sum(const at::Tensor& logits, const at::Tensor& targets) const;

 private:
  at::Tensor BinaryCrossEntropySum(const at::Tensor& logits, const at::Tensor& targets) const;
  at::Tensor FocalSum(const at::Tensor& logits, const at::Tensor& targets) const;

  const HeadConfig config_;
  const at::Tensor class_weights_;
};

}  // namespace finetune

#endif  // FINETUNE_MODEL_TRAINING_LOSS_H_
