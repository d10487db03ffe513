#ifndef FINETUNE_TENSOR_BFLOAT16_H_
#define FINETUNE_TENSOR_BFLOAT16_H_

namespace finetune {

// Whether this CPU multiplies bfloat16 (AVX512-BF16; every CPU with AMX has it too).
bool CpuHasBfloat16();

}  // namespace finetune

#endif  // FINETUNE_TENSOR_BFLOAT16_H_
