#include "src/tensor/bfloat16.h"

namespace finetune {

bool CpuHasBfloat16() { return __builtin_cpu_supports("avx512bf16") != 0; }

}  // namespace finetune
