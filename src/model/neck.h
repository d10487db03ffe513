#ifndef FINETUNE_MODEL_NECK_H_
#define FINETUNE_MODEL_NECK_H_

#include <ATen/core/Tensor.h>

#include "src/config/experiment.pb.h"
#include "src/model/backbone.h"

namespace finetune {

class Problems;

// Turns a backbone's features into the head's input: averages maps over their pixels, returns
// vectors as they are.
class Neck {
 public:
  // Adds an error to `problems` (those of model.neck) where the neck cannot take the backbone's
  // features, and a warning where the config sets a kind that has no effect on them.
  static void Check(const NeckConfig& config, const Backbone& backbone, const Problems& problems);

  explicit Neck(const Features& features) : pools_(features.are_maps) {}

  // Returns [N, channels] float32.
  at::Tensor Forward(const at::Tensor& features) const;

 private:
  const bool pools_;
};

}  // namespace finetune

#endif  // FINETUNE_MODEL_NECK_H_
