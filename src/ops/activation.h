#ifndef FINETUNE_OPS_ACTIVATION_H_
#define FINETUNE_OPS_ACTIVATION_H_

namespace finetune {

// The function that a layer applies to its result. Each returns NaN for NaN.
enum class Activation {
  kNone,
  kRelu,       // max(x, 0)
  kRelu6,      // min(max(x, 0), 6)
  kSilu,       // x * sigmoid(x)
  kHardSwish,  // x * min(max(x + 3, 0), 6) / 6
};

// Returns whether the activation's derivative can be computed from its result. If not, its input is
// needed.
constexpr bool SlopeFollowsFromResult(Activation activation) {
  return activation != Activation::kSilu && activation != Activation::kHardSwish;
}

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
    case Activation::kSilu:
      work.template operator()<Activation::kSilu>();
      break;
    case Activation::kHardSwish:
      work.template operator()<Activation::kHardSwish>();
      break;
  }
}

}  // namespace finetune

#endif  // FINETUNE_OPS_ACTIVATION_H_
