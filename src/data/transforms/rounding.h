#ifndef FINETUNE_DATA_TRANSFORMS_ROUNDING_H_
#define FINETUNE_DATA_TRANSFORMS_ROUNDING_H_

#include <bit>
#include <cstdint>

#include "src/data/transforms/transform.h"

// Loops that the compiler vectorises, built for each instruction set and chosen when the program
// starts.
#define FT_VECTORISED __attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4")))

namespace finetune {

// The nearest bfloat16, ties to even. Images hold no NaN.
inline uint16_t RoundToBfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// The numbers behind a result, for loops that the compiler vectorises.
inline uint16_t* Raw(Bfloat16* out) { return &out->bits; }
inline float* Raw(float* out) { return out; }

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_ROUNDING_H_
