#ifndef FINETUNE_MODEL_HEAD_H_
#define FINETUNE_MODEL_HEAD_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "src/config/experiment.pb.h"
#include "src/model/forward_context.h"
#include "src/model/layers.h"

namespace finetune {

class Problems;

// Turns vectors of features into logits: dropout (Srivastava et al. 2014) in training, then a
// linear layer.
class Head {
 public:
  // Adds an error to `problems` (those of model.head) for each value that no head can have.
  static void Check(const HeadConfig& config, const Problems& problems);

  // `seed`: the seed of dropout, the same on every rank.
  Head(const HeadConfig& config, Linear linear, uint64_t seed);

  // Returns logits, [N, num_classes] float32. vectors: [N, channels] float32.
  at::Tensor Forward(const at::Tensor& vectors, const ForwardContext& context) const;

 private:
  const Linear linear_;
  const float dropout_;
  const uint64_t seed_;
};

}  // namespace finetune

#endif  // FINETUNE_MODEL_HEAD_H_
