#ifndef FINETUNE_DATA_TRANSFORMS_ROUNDING_H_
#define FINETUNE_DATA_TRANSFORMS_ROUNDING_H_

#include <cstddef>
#include <cstdint>

#include "src/base/bfloat16.h"

// Marks a function with a loop that the compiler vectorizes. The function is compiled for several
// instruction sets. When the program starts, the version for the processor is chosen.
#define FT_VECTORISED __attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4")))

namespace finetune {

// Returns the same memory as a pointer to plain numbers (uint16 for bfloat16), for loops that the
// compiler vectorizes.
inline uint16_t* Raw(Bfloat16* out) { return &out->bits; }
inline float* Raw(float* out) { return out; }

// Rounds n numbers to bfloat16. The arrays must not overlap.
void RoundAll(const float* from, size_t n, uint16_t* to);

// Converts n bytes to float32. The arrays must not overlap.
void WidenAll(const uint8_t* from, size_t n, float* to);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_ROUNDING_H_
