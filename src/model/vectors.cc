#include "src/model/vectors.h"

#include <ATen/cpu/Utils.h>

#include <string>

namespace finetune {

Vectors BestVectors() {
  static const Vectors best = [] {
    const auto capabilities = at::cpu::get_cpu_capabilities();
    const auto has = [&](const std::string& name) {
      const auto found = capabilities.find(name);
      return found != capabilities.end() && found->second.isBool() && found->second.toBool();
    };
    if (!has("avx2") || !has("fma3")) return Vectors::kNone;
    for (const char* part : {"avx512_f", "avx512_bw", "avx512_dq", "avx512_vl"}) {
      if (!has(part)) return Vectors::kAvx2;
    }
    return has("avx512_bf16") && !has("amx_bf16") ? Vectors::kAvx512Bfloat16 : Vectors::kAvx512;
  }();
  return best;
}

}  // namespace finetune
