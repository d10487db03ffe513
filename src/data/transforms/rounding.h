#ifndef FINETUNE_DATA_TRANSFORMS_ROUNDING_H_
#define FINETUNE_DATA_TRANSFORMS_ROUNDING_H_

#include <cstdint>

#include "src/base/bfloat16.h"

// Loops that the compiler vectorises, built for each instruction set and chosen when the program
// starts.
#define FT_VECTORISED __attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4")))

namespace finetune {

// The numbers behind a result, for loops that the compiler vectorises.
inline uint16_t* Raw(Bfloat16* out) { return &out->bits; }
inline float* Raw(float* out) { return out; }

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_ROUNDING_H_
