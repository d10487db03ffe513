#ifndef FINETUNE_BASE_PROCESSOR_H_
#define FINETUNE_BASE_PROCESSOR_H_

namespace finetune {

// The instruction sets that our kernels use. Each is true where the processor has it and the
// operating system allows it.
struct Processor {
  bool f16c = false;
  bool avx2 = false;             // with FMA
  bool avx512 = false;           // F, BW, DQ and VL, on top of avx2
  bool avx512_bfloat16 = false;  // on top of avx512
  bool amx_bfloat16 = false;
};

// Returns the instruction sets of this machine. All are false on a machine that is not x86-64.
const Processor& ThisProcessor();

}  // namespace finetune

#endif  // FINETUNE_BASE_PROCESSOR_H_
