#ifndef FINETUNE_OPS_ACTIVATE_H_
#define FINETUNE_OPS_ACTIVATE_H_

#include <cstdint>
#include <cstring>

#include "src/ops/activation.h"
#include "src/ops/vectors.h"

namespace finetune {

// The activations of activation.h, for kernels. F is float, or a vector of floats of vectors.h;
// Bits is uint32_t, or the vector of as many. Results are written through a reference, because
// vectors.h says that inlined functions pass no vectors.

// Replaces an x below (above) `bound` by the bound. A NaN stays.
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

// Replaces x by e^x, 2e-7 of it off at most. An x outside of [-87, 88] counts as the bound.
//
// e^x = 2^n e^r with n = round(x / ln 2) and |r| <= ln(2) / 2, where 8 terms of the Taylor series
// are exact to float32. Adding 1.5 * 2^23 rounds a float to an integer, which its lowest bits then
// hold.
template <typename F, typename Bits>
FT_INLINE void Exp(F& x) {
  constexpr float kRounder = 12582912.0F;
  // ln 2 in two parts; the product of the first one and any n is exact.
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

// Returns the gradient of the activation's input for `dy`, that of its result. `x`: the input, `y`:
// the result; only one of them is read, as SlopeFollowsFromResult() says.
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
