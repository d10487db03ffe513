#ifndef FINETUNE_OPTIM_GRADIENT_NORM_H_
#define FINETUNE_OPTIM_GRADIENT_NORM_H_

#include <ATen/core/Tensor.h>

namespace finetune {

// Returns the L2 norm of all elements of `gradients` [n] float32. Sums in float64; on the CPU the
// order of the sum does not depend on the number of threads. On a GPU it waits until the device has
// computed the norm.
double GradientNorm(const at::Tensor& gradients);

}  // namespace finetune

#endif  // FINETUNE_OPTIM_GRADIENT_NORM_H_
