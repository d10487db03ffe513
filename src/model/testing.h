#ifndef FINETUNE_MODEL_TESTING_H_
#define FINETUNE_MODEL_TESTING_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "src/model/classifier.h"

namespace finetune {

// offset + scale * u, u in [-1, 1) from the name and each element's index: the numbers of
// tests/fixtures/model/make_fixtures.py, bit for bit.
at::Tensor ByFormula(const std::string& name, at::IntArrayRef shape, double scale = 1,
                     double offset = 0);

// Gives every parameter and buffer its value by the formula.
void FillByFormula(Classifier* model);

// A model of this ModelConfig text, filled by the formula. Fails the test where it cannot be made.
std::unique_ptr<Classifier> MakeModel(const std::string& config,
                                      const ClassifierOptions& options = {});

// ||actual - expected|| / ||expected||, computed in float64.
double RelativeError(const at::Tensor& actual, const at::Tensor& expected);

// The tensor of that name among the model's parameters and buffers.
at::Tensor Named(const Classifier& model, const std::string& name);

}  // namespace finetune

#endif  // FINETUNE_MODEL_TESTING_H_
