#ifndef FINETUNE_OPS_ACTIVATE_H_
#define FINETUNE_OPS_ACTIVATE_H_

#include <cstdint>
#include <cstring>

#include "src/ops/activation.h"
#include "src/ops/vectors.h"

namespace finetune {

// The activations of activation.h for use in kernels. F is float or one of the float vectors of
// vectors.h. Bits is uint32_t or a vector of as many uint32_t as F has floats. Functions write
// their result through a reference, because kernels must not pass vectors by value (vectors.h says
// why).

// BoundBelow() raises x to `bound` if it is below; BoundAbove() lowers x to `bound` if it is above.
// A NaN stays NaN.
FT_INLINE void BoundBelow(float bound, float& x) { x = x < bound ? bound : x; }
FT_INLINE void BoundAbove(float bound, float& x) { x = x > bound ? bound : x; }
template <typename F>
FT_INLINE void BoundBelow(float bound, F& x) {
  Max(F{} + bound, F(x), x);
}
template <typename F>
FT_INLINE void BoundAbove(float bound, F& x) {
  Min(F{} + bound, F(x), x);
}

// Replaces x by e^x. First limits x to [-87, 88]. The relative error is at most 2e-7.
//
// Uses e^x = 2^n * e^r with n = round(x / ln 2) and |r| <= ln(2) / 2. For such r, 8 terms of the
// Taylor series of e^r are as exact as float32. Adding kRounder = 1.5 * 2^23 to a float rounds it
// to an integer, which is then in the lowest bits of the sum.
template <typename F, typename Bits>
FT_INLINE void Exp(F& x) {
  constexpr float kRounder = 12582912.0F;
  // ln 2 = kLn2Upper + kLn2Lower. kLn2Upper has few digits, so n * kLn2Upper is exact for every n.
  constexpr float kLn2Upper = 0.693359375F, kLn2Lower = -2.12194440e-4F;
  BoundBelow(-87.0F, x);
  BoundAbove(88.0F, x);
  const F shifted = x * 1.44269504F + kRounder;
  const F n = shifted - kRounder;
  const F r = (x - n * kLn2Upper) - n * kLn2Lower;
  F sum = r * (1.0F / 5040) + 1.0F / 720;
  sum = sum * r + 1.0F / 120;
  sum = sum * r + 1.0F / 24;
  sum = sum * r + 1.0F / 6;
  sum = sum * r + 0.5F;
  sum = sum * r + 1.0F;
  sum = sum * r + 1.0F;
  Bits bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits << 23) + 0x3F800000U;
  F power;
  std::memcpy(&power, &bits, sizeof(power));
  x = sum * power;
}

// Replaces x by sigmoid(x) = 1 / (1 + e^-x).
template <typename F, typename Bits>
FT_INLINE void Sigmoid(F& x) {
  x = -x;
  Exp<F, Bits>(x);
  x = 1.0F / (x + 1.0F);
}

// Replaces x by activation(x).
template <Activation kActivation, typename F, typename Bits>
FT_INLINE void Activate(F& x) {
  if constexpr (kActivation == Activation::kRelu || kActivation == Activation::kRelu6) {
    BoundBelow(0, x);
  }
  if constexpr (kActivation == Activation::kRelu6) BoundAbove(6, x);
  if constexpr (kActivation == Activation::kSilu) {
    F factor = x;
    Sigmoid<F, Bits>(factor);
    x = x * factor;
  }
  if constexpr (kActivation == Activation::kHardSwish) {
    F factor = x + 3.0F;
    BoundBelow(0, factor);
    BoundAbove(6, factor);
    x = x * factor * (1.0F / 6);
  }
}

// Returns the gradient of an activation's input. `dy`: the gradient of its result. `x`: its input,
// read only if SlopeFollowsFromResult() is false. `y`: its result, read only if it is true.
template <Activation kActivation>
FT_INLINE float GradientBefore(float dy, float x, float y) {
  if constexpr (kActivation == Activation::kRelu || kActivation == Activation::kRelu6) {
    dy = y <= 0 ? 0.0F : dy;
  }
  if constexpr (kActivation == Activation::kRelu6) dy = y >= 6 ? 0.0F : dy;
  if constexpr (kActivation == Activation::kSilu) {
    float s = x;
    Sigmoid<float, uint32_t>(s);
    dy *= s * (1.0F + x * (1.0F - s));
  }
  if constexpr (kActivation == Activation::kHardSwish) {
    const float middle = x * (1.0F / 3) + 0.5F;
    const float slope = x >= 3 ? 1.0F : middle;
    dy *= x <= -3 ? 0.0F : slope;
  }
  return dy;
}

}  // namespace finetune

#endif  // FINETUNE_OPS_ACTIVATE_H_
