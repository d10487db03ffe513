#include "src/data/transforms/rounding.h"

namespace finetune {

FT_VECTORISED void RoundAll(const float* __restrict from, size_t n, uint16_t* __restrict to) {
  for (size_t i = 0; i < n; ++i) to[i] = ToBfloat16(from[i]);
}

FT_VECTORISED void WidenAll(const uint8_t* __restrict from, size_t n, float* __restrict to) {
  for (size_t i = 0; i < n; ++i) to[i] = from[i];
}

}  // namespace finetune
