#ifndef FINETUNE_MODEL_LOSS_H_
#define FINETUNE_MODEL_LOSS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace finetune {

// Returns the cross-entropy with label smoothing (Szegedy et al. 2016), summed over the images: a
// scalar. logits: [N, classes] float32. targets: the images' classes, [N] int64, or distributions
// over the classes, [N, classes] in the logits' type. Smoothing moves both kinds towards the
// uniform distribution. class_weights: the factor of each class's term, [classes] in the logits'
// type, as in torch.nn.CrossEntropyLoss. Undefined: every factor is 1.
at::Tensor CrossEntropySum(const at::Tensor& logits, const at::Tensor& targets,
                           double label_smoothing, const at::Tensor& class_weights = {});

// Returns the same for each image, not summed: [N].
at::Tensor CrossEntropy(const at::Tensor& logits, const at::Tensor& targets,
                        double label_smoothing);

// Returns, for each image, the number of classes that come before its label when classes are sorted
// by logit, the largest first: [N] int64, on the CPU. Among equal logits the lower class comes
// first, as in argmax, so that a model with equal logits for all classes is not counted as right.
// NaN comes before every label.
at::Tensor LabelRanks(const at::Tensor& logits, const at::Tensor& labels);

// Returns for each k in `ks` the number of images whose label is among the k largest logits, by
// LabelRanks().
std::vector<int64_t> TopKCorrect(const at::Tensor& logits, const at::Tensor& labels,
                                 const std::vector<int>& ks);

}  // namespace finetune

#endif  // FINETUNE_MODEL_LOSS_H_
