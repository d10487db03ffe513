#ifndef FINETUNE_MODEL_BUILDER_H_
#define FINETUNE_MODEL_BUILDER_H_

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "src/model/layers.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// The names that checkpoints of other packages have for a model's layers, each with the model's
// own:
// {"features.0.0", "backbone.conv1.conv"}.
using LayerNames = std::map<std::string, std::string, std::less<>>;

// Of a convolution and of the batch norm behind it.
struct ConvBnNames {
  std::string conv, bn;
};

struct ConvShape {
  int64_t in, out, kernel;
  int64_t stride = 1;
  int64_t padding = 0;
  int64_t groups = 1;
  bool same = false;  // see Conv
};

// Makes the layers of a model and lists their tensors under the layers' names ("backbone.conv1" has
// "backbone.conv1.weight"). Each tensor is drawn from a generator of its own, keyed by the seed and
// its name, so that a layer starts the same whatever stands before it.
class LayerBuilder {
 public:
  // The lists must outlive the builder.
  LayerBuilder(uint64_t seed, at::Device device, TensorList* parameters, TensorList* buffers,
               LayerNames* other_names)
      : seed_(seed),
        device_(device),
        parameters_(*parameters),
        buffers_(*buffers),
        other_names_(*other_names) {}

  // Whether the parameters made from now on require gradients.
  void SetTrained(bool trained) { trained_ = trained; }

  // Begins the next part of the network: a stage, or the head.
  void BeginPart() { part_begins_.push_back(parameters_.size()); }
  // For each part, the index of its first parameter in the list of parameters.
  const std::vector<size_t>& part_begins() const { return part_begins_; }

  // The convolution starts by He et al. 2015 with fan-out, the batch norm with a scale of `gamma`.
  ConvBn MakeConvBn(const ConvBnNames& names, const ConvShape& shape,
                    const BatchNormSettings& settings = {}, double gamma = 1);

  // Says which names other packages' checkpoints have for a layer, from the network's root on. One
  // name stands for one layer.
  void AlsoNamed(const std::string& layer, std::initializer_list<std::string> others);
  void AlsoNamed(const ConvBnNames& layers, std::initializer_list<ConvBnNames> others);

  // With a bias. Weight and bias start uniform within 1 / sqrt(fan-in), PyTorch's default.
  Conv MakeConv(const std::string& name, const ConvShape& shape);
  Linear MakeLinear(const std::string& name, int64_t in, int64_t out);

  // The weight starts normal with this standard deviation, the bias at 0.
  Linear MakeNormalLinear(const std::string& name, int64_t in, int64_t out, double deviation);

  // The places of the folded convolutions (ConvBn::folded) of the layers made since the last call.
  std::vector<std::shared_ptr<std::optional<PackedConv>>> TakeFolded() {
    return std::exchange(folded_, {});
  }

 private:
  at::Tensor Add(const std::string& name, at::Tensor value);
  at::Tensor AddBuffer(const std::string& name, const at::Tensor& value);
  // [shape], normal with this standard deviation.
  at::Tensor AddNormal(const std::string& name, at::IntArrayRef shape, double deviation);
  // [shape], uniform in [-bound, bound].
  at::Tensor AddUniform(const std::string& name, at::IntArrayRef shape, double bound);
  at::Generator GeneratorOf(const std::string& name) const;

  const uint64_t seed_;
  const at::Device device_;
  TensorList& parameters_;
  TensorList& buffers_;
  LayerNames& other_names_;
  bool trained_ = true;
  std::vector<std::shared_ptr<std::optional<PackedConv>>> folded_;
  std::vector<size_t> part_begins_;
};

}  // namespace finetune

#endif  // FINETUNE_MODEL_BUILDER_H_
