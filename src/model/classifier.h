#ifndef FINETUNE_MODEL_CLASSIFIER_H_
#define FINETUNE_MODEL_CLASSIFIER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/model/layers.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

struct ClassifierOptions {
  // Of the initial weights; the same on every rank.
  uint64_t seed = 0;
  at::Device device = at::kCPU;
  ForwardMode mode;
};

// Backbone, neck and head. Parameters and buffers are named as mmpretrain names them.
class Classifier {
 public:
  // Errors: InvalidArgument that names the field, for a depth that is no ResNet's, a neck that does
  // not fit, stages that are not there, fewer than 2 classes.
  static absl::StatusOr<std::unique_ptr<Classifier>> Create(const ModelConfig& config,
                                                            const ClassifierOptions& options);
  virtual ~Classifier() = default;

  // Whether the model takes pictures of this shape. Errors: InvalidArgument with the shapes that it
  // takes, and what to do.
  virtual absl::Status CheckInput(int64_t channels, int64_t height, int64_t width) const = 0;
  // How many values of each channel one picture of this size gives to the smallest batch norm that
  // takes its statistics from the batch while training. 0: none does. With 1, a pass of one picture
  // cannot be trained on: one value has no variance.
  virtual int64_t LeastBatchNormValues(int64_t height, int64_t width) const = 0;

  // images: [N, C, H, W], N may be 0; fastest as channels-last in the type to compute in. Returns
  // logits, [N, num_classes] float32. Training updates running statistics and, with gradients
  // enabled, records the graph of the parts that are trained. Pictures that do not fit the model
  // are a c10::Error that says what it takes.
  virtual at::Tensor Forward(const at::Tensor& images, bool training) = 0;

  // In the order of the forward pass. Those that are trained require gradients.
  const TensorList& parameters() const { return parameters_; }
  // Running statistics of the batch norms.
  const TensorList& buffers() const { return buffers_; }

  // Both, as a checkpoint's state_dict has them.
  TensorList State() const;

  // To be called after anything but Forward() wrote to parameters or buffers: drops what was
  // derived from them. `all` includes the frozen part.
  virtual void ParametersChanged(bool all) = 0;

 protected:
  // `images` in type and layout as the layers want them; no copy where they are. Throws c10::Error
  // for another number of dimensions, or with CheckInput's message.
  at::Tensor Input(const at::Tensor& images, at::ScalarType type) const;

  TensorList parameters_;
  TensorList buffers_;
};

}  // namespace finetune

#endif  // FINETUNE_MODEL_CLASSIFIER_H_
