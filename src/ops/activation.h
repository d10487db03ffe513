#ifndef FINETUNE_OPS_ACTIVATION_H_
#define FINETUNE_OPS_ACTIVATION_H_

namespace finetune {

// The function that a layer ends with. A NaN passes every one.
enum class Activation {
  kNone,
  kRelu,  // max(x, 0)
};

}  // namespace finetune

#endif  // FINETUNE_OPS_ACTIVATION_H_
