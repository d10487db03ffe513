#ifndef FINETUNE_MODEL_BUILDER_H_
#define FINETUNE_MODEL_BUILDER_H_

#include <cstdint>
#include <string>

#include "src/model/classifier.h"

namespace finetune {

// Makes a model's tensors, each initialised from a generator of its own (seed and name), and lists
// them.
class ModelBuilder {
 public:
  ModelBuilder(const ClassifierOptions& options, TensorList* parameters, TensorList* buffers)
      : options_(options), parameters_(*parameters), buffers_(*buffers) {}

  // Everything made from now on is (not) trained.
  void SetTrained(bool trained) { trained_ = trained; }

  // `conv` and `bn` are the layers' names, "backbone.conv1" and "backbone.bn1". Kaiming's
  // initialisation by fan-out (He et al. 2015); gamma starts at `gamma`.
  ConvBn MakeConvBn(const std::string& conv, const std::string& bn, int64_t in, int64_t out,
                    int64_t kernel, int64_t stride, double gamma = 1);

  // [shape], normal with this standard deviation (0: zeros).
  at::Tensor MakeNormal(const std::string& name, at::IntArrayRef shape, double std);
  // [shape], uniform in [-bound, bound].
  at::Tensor MakeUniform(const std::string& name, at::IntArrayRef shape, double bound);

 private:
  at::Tensor Add(const std::string& name, at::Tensor value);
  at::Tensor AddBuffer(const std::string& name, const at::Tensor& value);

  const ClassifierOptions& options_;
  TensorList& parameters_;
  TensorList& buffers_;
  bool trained_ = true;
};

}  // namespace finetune

#endif  // FINETUNE_MODEL_BUILDER_H_
