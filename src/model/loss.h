#ifndef FINETUNE_MODEL_LOSS_H_
#define FINETUNE_MODEL_LOSS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace finetune {

// Cross-entropy with label smoothing (Szegedy et al. 2016), summed over the images. logits: [N,
// classes] float32. targets: the classes, [N] int64, or distributions over them, [N, classes] of
// the logits' type, which smoothing moves towards the uniform one in the same way. class_weights:
// [classes] of the logits' type, by which each class's term is multiplied, as in
// torch.nn.CrossEntropyLoss; undefined: all are 1. Returns a scalar.
at::Tensor CrossEntropySum(const at::Tensor& logits, const at::Tensor& targets,
                           double label_smoothing, const at::Tensor& class_weights = {});

// The same of each image alone: [N].
at::Tensor CrossEntropy(const at::Tensor& logits, const at::Tensor& targets,
                        double label_smoothing);

// Returns the number of classes that come before each label when they are sorted by logit: [N]
// int64, on the CPU. Of equal logits the lower class comes first, as argmax has it, so a model that
// says the same of all classes is not right about them; a logit that is not a number comes before
// every label.
at::Tensor LabelRanks(const at::Tensor& logits, const at::Tensor& labels);

// For each k: how many labels are among the k largest logits, by LabelRanks().
std::vector<int64_t> TopKCorrect(const at::Tensor& logits, const at::Tensor& labels,
                                 const std::vector<int>& ks);

}  // namespace finetune

#endif  // FINETUNE_MODEL_LOSS_H_
