#ifndef FINETUNE_OPS_ACTIVATION_H_
#define FINETUNE_OPS_ACTIVATION_H_

namespace finetune {

// The function that a layer applies to its result. Each returns NaN for NaN.
enum class Activation {
  kNone,
  kRelu,   // max(x, 0)
  kRelu6,  // min(max(x, 0), 6)
};

// Calls work.operator()<kActivation>() with `activation` as the template argument. Always inlined,
// so that `work` is compiled for the caller's instruction set.
template <typename Work>
inline __attribute__((always_inline)) void ForActivation(Activation activation, const Work& work) {
  switch (activation) {
    case Activation::kNone:
      work.template operator()<Activation::kNone>();
      break;
    case Activation::kRelu:
      work.template operator()<Activation::kRelu>();
      break;
    case Activation::kRelu6:
      work.template operator()<Activation::kRelu6>();
      break;
  }
}

}  // namespace finetune

#endif  // FINETUNE_OPS_ACTIVATION_H_
