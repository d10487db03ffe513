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

// Keys: the names that other packages' checkpoints have for a model's layers, or for single tensors
// whose last part differs. Values: the model's own names. Examples: {"features.0.0",
// "backbone.conv1.conv"}, {"features.1.0.layer_scale", "backbone.stages.0.0.gamma"}.
using LayerNames = std::map<std::string, std::string, std::less<>>;

// The names of a convolution and of the batch norm that follows it.
struct ConvBnNames {
  std::string conv, bn;
};

// The names of the two 1x1 convolutions of squeeze-and-excitation.
struct SqueezeExciteNames {
  std::string reduce, expand;
};

struct ConvShape {
  int64_t in, out, kernel;
  int64_t stride = 1;
  int64_t padding = 0;
  int64_t groups = 1;
  bool same = false;  // see Conv::same
  bool bias = false;  // only read by MakeConvBn()
};

// Returns channels * factor, rounded to the nearest multiple of 8, and at least 8. If rounding down
// would lose more than a tenth, rounds up instead. Networks are made wider and narrower by this
// rule.
int64_t ScaledWidth(int64_t channels, double factor);

// Makes the layers of a model and lists their tensors under the layers' names ("backbone.conv1" has
// "backbone.conv1.weight"). Each random tensor is drawn by its own generator, seeded by the seed
// and the tensor's name. So adding or removing a layer does not change how the other layers start.
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

  // Sets whether the parameters made after this call require gradients; true at first.
  void SetTrained(bool trained) { trained_ = trained; }

  // Begins the next part of the network, a stage. Parameters made after this call belong to that
  // part.
  void BeginPart() { part_begins_.push_back(parameters_.size()); }
  // Begins the last part of the network, the head, unless it has begun already. A last stage may
  // begin it for layers that have the head's learning rate (layer_decay).
  void BeginHead() {
    if (!head_begun_) BeginPart();
    head_begun_ = true;
  }
  // Returns, for each part, the index of its first parameter in the list of parameters.
  const std::vector<size_t>& part_begins() const { return part_begins_; }

  // Makes a convolution and the batch norm that follows it. The convolution's weight starts as in
  // He et al. 2015 (normal, by fan-out), its bias at 0, the batch norm's scale at `gamma`.
  ConvBn MakeConvBn(const ConvBnNames& names, const ConvShape& shape,
                    const BatchNormSettings& settings = {}, double gamma = 1);

  // Make a batch norm or a convolution alone. They start as those of MakeConvBn(). The convolution
  // has no bias.
  BatchNorm MakeBatchNorm(const std::string& name, int64_t channels,
                          const BatchNormSettings& settings = {}, double gamma = 1);
  BareConv MakeBareConv(const std::string& name, const ConvShape& shape);

  // Makes the two 1x1 convolutions of squeeze-and-excitation. Their weights start as MakeConvBn()'s
  // and their biases at 0. `channels`: of the input and the result. `squeezed`: the channels
  // between the convolutions.
  SqueezeExciteLayer MakeSqueezeExcite(const SqueezeExciteNames& names, int64_t channels,
                                       int64_t squeezed, Activation activation, Gate gate);

  // Records the names that other packages' checkpoints have for `layer` or `layers`, as full names
  // from the root of their network. `layer` may also be the full name of a tensor. A name must not
  // be given to two layers.
  void AlsoNamed(const std::string& layer, std::initializer_list<std::string> others);
  void AlsoNamed(const ConvBnNames& layers, std::initializer_list<ConvBnNames> others);

  // Make a layer with a bias. Weight and bias start uniform in [-1 / sqrt(fan-in), 1 /
  // sqrt(fan-in)], PyTorch's default.
  Conv MakeConv(const std::string& name, const ConvShape& shape);
  Linear MakeLinear(const std::string& name, int64_t in, int64_t out);

  // Makes a linear layer whose weight starts normal with mean 0 and this standard deviation, and
  // whose bias, if it has one, starts at 0.
  Linear MakeNormalLinear(const std::string& name, int64_t in, int64_t out, double deviation,
                          bool with_bias = true);

  // Makes a convolution whose weight and bias start as those of MakeNormalLinear().
  Conv MakeNormalConv(const std::string& name, const ConvShape& shape, double deviation);

  // Makes a layer norm whose scale starts at 1 and whose shift starts at 0.
  LayerNorm MakeLayerNorm(const std::string& name, int64_t channels, double epsilon);

  // Makes a global response norm whose scale and shift start at 0, so that it starts as the
  // identity. Its tensors are named ".gamma" and ".beta".
  GlobalResponseNorm MakeGlobalResponseNorm(const std::string& name, int64_t channels);

  // Makes a parameter [channels] that starts at `value`, such as a layer scale. `name`: the
  // parameter's full name.
  at::Tensor MakeScale(const std::string& name, int64_t channels, double value) {
    return Add(name, channels, value);
  }

  // Makes a parameter that is added to a network's values, such as position embeddings. It starts
  // normal with mean 0 and this standard deviation. `name`: the parameter's full name.
  at::Tensor MakeEmbedding(const std::string& name, at::IntArrayRef shape, double deviation) {
    return AddNormal(name, shape, deviation);
  }

  // Returns the pointers ConvBn::folded and BareConv::packed of all layers that were made since the
  // last call.
  std::vector<std::shared_ptr<std::optional<PackedConv>>> TakeFolded() {
    return std::exchange(folded_, {});
  }

 private:
  at::Tensor Add(const std::string& name, at::Tensor value);
  // Adds a parameter [size] whose values are all `value`.
  at::Tensor Add(const std::string& name, int64_t size, double value);
  at::Tensor AddBuffer(const std::string& name, const at::Tensor& value);
  // Adds a parameter drawn from a normal distribution with mean 0 and this standard deviation.
  at::Tensor AddNormal(const std::string& name, at::IntArrayRef shape, double deviation);
  // Adds a parameter drawn uniformly from [-bound, bound].
  at::Tensor AddUniform(const std::string& name, at::IntArrayRef shape, double bound);
  // Returns a convolution without bias whose weight starts as MakeConvBn()'s.
  Conv MakeConvWithoutBias(const std::string& name, const ConvShape& shape);
  at::Generator GeneratorOf(const std::string& name) const;

  const uint64_t seed_;
  const at::Device device_;
  TensorList& parameters_;
  TensorList& buffers_;
  LayerNames& other_names_;
  bool trained_ = true;
  std::vector<std::shared_ptr<std::optional<PackedConv>>> folded_;
  std::vector<size_t> part_begins_;
  bool head_begun_ = false;
};

}  // namespace finetune

#endif  // FINETUNE_MODEL_BUILDER_H_
