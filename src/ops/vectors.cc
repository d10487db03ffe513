#include "src/ops/vectors.h"

#include <ATen/cpu/Utils.h>

#include <algorithm>
#include <string>

namespace finetune {

namespace {

bool Has(const std::string& name) {
  static const auto capabilities = at::cpu::get_cpu_capabilities();
  const auto found = capabilities.find(name);
  return found != capabilities.end() && found->second.isBool() && found->second.toBool();
}

}  // namespace

Vectors BestVectors() {
  static const Vectors best = [] {
    if (!Has("avx2") || !Has("fma3")) return Vectors::kNone;
    for (const char* part : {"avx512_f", "avx512_bw", "avx512_dq", "avx512_vl"}) {
      if (!Has(part)) return Vectors::kAvx2;
    }
    return Has("avx512_bf16") ? Vectors::kAvx512Bfloat16 : Vectors::kAvx512;
  }();
  return best;
}

Vectors BestProductVectors() {
  static const bool has_amx = Has("amx_bf16");
  return has_amx ? std::min(BestVectors(), Vectors::kAvx512) : BestVectors();
}

}  // namespace finetune
