#ifndef FINETUNE_DATA_TRANSFORMS_ROUNDING_H_
#define FINETUNE_DATA_TRANSFORMS_ROUNDING_H_

#include <cstdint>

#include "src/base/bfloat16.h"

// Marks a loop that the compiler vectorises. It is compiled for several instruction sets, and the
// best one for the processor is chosen when the program starts.
#define FT_VECTORISED __attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4")))

namespace finetune {

// Returns a pointer to plain numbers, for loops that the compiler vectorises. bfloat16 is accessed
// as uint16.
inline uint16_t* Raw(Bfloat16* out) { return &out->bits; }
inline float* Raw(float* out) { return out; }

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_ROUNDING_H_
