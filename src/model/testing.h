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

// Returns the value that a tensor of this name and shape has in a test's network. It is a
// ByFormula() tensor, scaled and shifted by the tensor's kind. `gain` multiplies the weights of
// convolutions. A network with SiLU, hard-swish or squeeze-and-excitation needs a gain above 1,
// because these make values smaller in every block: otherwise its logits would hardly depend on the
// images.
at::Tensor ValueOf(const std::string& name, at::IntArrayRef shape, double gain = 1);

// Sets every parameter and buffer to ValueOf() its name.
void FillByFormula(Classifier* model, double gain = 1);

// Returns a model of this ModelConfig text with the weights of FillByFormula(). Fails the test
// where the model cannot be made.
std::unique_ptr<Classifier> MakeModel(const std::string& config,
                                      const ClassifierOptions& options = {}, double gain = 1);

// Returns the model's parameter or buffer of this name. Fails the test where there is none.
at::Tensor Named(const Classifier& model, const std::string& name);

// Returns the options of the engine FUSED (`fused` true) or PLAIN, in bfloat16 or float32.
ClassifierOptions EngineOptions(bool fused, bool bfloat16 = false);

// Runs forward and backward on these images, [N, 3, H, W], with class 0 as every label. Adds to the
// parameters' gradients.
void ForwardAndBackward(Classifier* model, const at::Tensor& images);

// Expects that both engines train the model of this ModelConfig text in bfloat16 with float32
// gradients, and that the last layer's gradient is near that of a float32 pass. (The last layer's
// is compared because the rounding errors of the backward pass have not added up there.)
void ExpectBfloat16TrainsWithFloat32Gradients(const std::string& config, const at::Tensor& images,
                                              double gain = 1);

}  // namespace finetune

#endif  // FINETUNE_MODEL_TESTING_H_
