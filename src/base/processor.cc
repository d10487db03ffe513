#include "src/base/processor.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace finetune {
namespace {

#if defined(__x86_64__)
// Returns whether the operating system saves AMX's tile registers. Call it only where AVX is
// supported, because xgetbv may be missing elsewhere.
bool SystemKeepsTiles() {
  constexpr unsigned kTiles = 3U << 17;
  unsigned low = 0, high = 0;
  asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & kTiles) == kTiles;
}
#endif

Processor Ask() {
  Processor has;
#if defined(__x86_64__)
  has.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  has.avx512 = has.avx2 && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
  has.avx512_bfloat16 = has.avx512 && __builtin_cpu_supports("avx512bf16");
  // f16c and amx_bfloat16 are read as bits of CPUID, because __builtin_cpu_supports() of clang 14
  // does not know their names.
  unsigned a = 0, b = 0, c = 0, d = 0;
  has.f16c = has.avx2 && __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
  constexpr unsigned kAmxBfloat16 = 1U << 22;
  has.amx_bfloat16 = has.avx512_bfloat16 && SystemKeepsTiles() &&
                     __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kAmxBfloat16) != 0;
#endif
  return has;
}

}  // namespace

const Processor& ThisProcessor() {
  static const Processor processor = Ask();
  return processor;
}

}  // namespace finetune
