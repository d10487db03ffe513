#ifndef FINETUNE_MODEL_NECK_H_
#define FINETUNE_MODEL_NECK_H_

#include <ATen/core/Tensor.h>

#include "src/config/experiment.pb.h"
#include "src/model/backbone.h"

namespace finetune {

class Problems;

// Makes the vectors that a head takes of a backbone's features: maps are averaged, vectors stay.
class Neck {
 public:
  // Adds an error to those of model.neck where the backbone's features do not fit it.
  static void Check(const NeckConfig& config, const Backbone& backbone, const Problems& problems);

  explicit Neck(const Features& features) : pools_(features.are_maps) {}

  // Returns [N, channels] float32.
  at::Tensor Forward(const at::Tensor& features) const;

 private:
  const bool pools_;
};

}  // namespace finetune

#endif  // FINETUNE_MODEL_NECK_H_
