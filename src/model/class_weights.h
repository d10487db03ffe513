#ifndef FINETUNE_MODEL_CLASS_WEIGHTS_H_
#define FINETUNE_MODEL_CLASS_WEIGHTS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "src/config/experiment.pb.h"

namespace finetune {

class Problems;

// Adds an error to `problems`, which must be those of model.head.class_weights, for each wrong
// value of `config`. `classes`: model.head.num_classes.
void CheckClassWeights(const ClassWeightsConfig& config, int classes, const Problems& problems);

// Returns the weight of each class in the training loss. Returns an empty list if the config has no
// class_weights, so that every weight is 1. `images`: the number of training images of each class.
std::vector<float> ClassWeights(const HeadConfig& config, absl::Span<const int64_t> images);

}  // namespace finetune

#endif  // FINETUNE_MODEL_CLASS_WEIGHTS_H_
