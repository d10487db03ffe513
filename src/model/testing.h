#ifndef FINETUNE_MODEL_TESTING_H_
#define FINETUNE_MODEL_TESTING_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "src/model/classifier.h"
#include "src/ops/testing.h"

namespace finetune {

inline constexpr ForwardContext kTraining{.training = true};
inline constexpr ForwardContext kEvaluation{.training = false};

// The value that the formula gives to a tensor of this name and shape in a network's state.
at::Tensor ValueOf(const std::string& name, at::IntArrayRef shape);

// Gives every parameter and buffer its value by the formula.
void FillByFormula(Classifier* model);

// A model of this ModelConfig text, filled by the formula. Fails the test where it cannot be made.
std::unique_ptr<Classifier> MakeModel(const std::string& config,
                                      const ClassifierOptions& options = {});

// The tensor of that name among the model's parameters and buffers.
at::Tensor Named(const Classifier& model, const std::string& name);

}  // namespace finetune

#endif  // FINETUNE_MODEL_TESTING_H_
