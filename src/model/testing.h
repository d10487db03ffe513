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

// The value that the formula gives to a tensor of this name and shape in a network's state. `gain`
// multiplies the weights of convolutions: SiLU, hard-swish and squeeze-and-excitation make values
// smaller in every block, and with a gain of 1 the logits of a network of them would hardly depend
// on its images.
at::Tensor ValueOf(const std::string& name, at::IntArrayRef shape, double gain = 1);

// Gives every parameter and buffer its value by the formula.
void FillByFormula(Classifier* model, double gain = 1);

// A model of this ModelConfig text, filled by the formula. Fails the test where it cannot be made.
std::unique_ptr<Classifier> MakeModel(const std::string& config,
                                      const ClassifierOptions& options = {}, double gain = 1);

// The tensor of that name among the model's parameters and buffers.
at::Tensor Named(const Classifier& model, const std::string& name);

// The options of the engine FUSED or PLAIN, in bfloat16 or float32.
ClassifierOptions EngineOptions(bool fused, bool bfloat16 = false);

// Adds the gradients of a training step on these images, [N, 3, H, W], all of class 0.
void ForwardAndBackward(Classifier* model, const at::Tensor& images);

// Expects both engines to train the model of this ModelConfig text in bfloat16: each gradient is
// float32, and the last layer's is near the one that float32 computes. (There the noise of the
// backward pass has not added up yet.)
void ExpectBfloat16TrainsWithFloat32Gradients(const std::string& config, const at::Tensor& images,
                                              double gain = 1);

}  // namespace finetune

#endif  // FINETUNE_MODEL_TESTING_H_
