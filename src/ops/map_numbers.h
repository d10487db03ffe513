#ifndef FINETUNE_OPS_MAP_NUMBERS_H_
#define FINETUNE_OPS_MAP_NUMBERS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "src/base/bfloat16.h"

namespace finetune {

// The number types of feature maps, each with its conversions to and from float32. They are for
// kernels with plain loops that the compiler vectorizes. (Kernels with explicit vectors use
// vectors.h.)
struct AsFloat32 {
  using Storage = float;
  static float Load(float v) { return v; }
  static float Store(float v) { return v; }
};
struct AsBfloat16 {
  using Storage = uint16_t;
  static float Load(uint16_t v) { return FromBfloat16(v); }
  static uint16_t Store(float v) { return ToBfloat16(v); }
};

// Marks a function that is compiled for each of these instruction sets; when the program starts, it
// chooses the fastest one that the processor has. Functions that it calls must be FT_INLINE
// (vectors.h), so that they are compiled for the same instruction set.
#define FT_VECTORISED __attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4")))

// Returns whether the numbers of a map are read AsBfloat16.
inline bool IsBfloat16(const at::Tensor& map) { return map.scalar_type() == at::kBFloat16; }

}  // namespace finetune

#endif  // FINETUNE_OPS_MAP_NUMBERS_H_
