#ifndef FINETUNE_BASE_PROCESSOR_H_
#define FINETUNE_BASE_PROCESSOR_H_

namespace finetune {

// The processor's instructions that our kernels use, where the system allows them.
struct Processor {
  bool f16c = false;
  bool avx2 = false;             // with FMA
  bool avx512 = false;           // F, BW, DQ and VL, on top of avx2
  bool avx512_bfloat16 = false;  // on top of avx512; every processor with AMX has it too
  bool amx_bfloat16 = false;
};

// Returns the features of this machine. All are false where it is not an x86.
const Processor& ThisProcessor();

}  // namespace finetune

#endif  // FINETUNE_BASE_PROCESSOR_H_
