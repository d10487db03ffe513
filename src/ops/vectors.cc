#include "src/ops/vectors.h"

#include <algorithm>

#include "src/base/processor.h"

namespace finetune {

Vectors BestVectors() {
  const Processor& has = ThisProcessor();
  if (has.avx512_bfloat16) return Vectors::kAvx512Bfloat16;
  if (has.avx512) return Vectors::kAvx512;
  return has.avx2 ? Vectors::kAvx2 : Vectors::kNone;
}

Vectors BestProductVectors() {
  return ThisProcessor().amx_bfloat16 ? std::min(BestVectors(), Vectors::kAvx512) : BestVectors();
}

}  // namespace finetune
