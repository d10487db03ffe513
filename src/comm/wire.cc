#include "src/comm/wire.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "src/base/bfloat16.h"
#include "src/base/processor.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace finetune {
namespace {

// Converts IEEE 754 binary16 to float32. FromFloat16() and ToFloat16() serve processors without the
// F16C instructions, and the last n % 8 elements of an array on processors with them.
float FromFloat16(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 0x1f;
  const uint32_t fraction = half & 0x3ff;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000 | (fraction << 13));
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
}

uint16_t ToFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00 | ((bits >> 13) & 0x3ff));
  if (magnitude >= 0x477ff000) return sign | 0x7c00;  // would round to 65536 or more: infinity
  if (magnitude < 0x38800000) {                       // under 2^-14: subnormal in float16
    // The lowest bit of the float32 number 0.5 is worth 2^-24, as is that of a float16 subnormal.
    // So the addition rounds to the ten fraction bits of the result.
    const float rounded = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(rounded) - 0x3f000000));
  }
  const uint32_t rounded = magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1);
  return static_cast<uint16_t>(sign | (rounded >> 13));
}

#if defined(__x86_64__)

// PackFloat16Vector() and UnpackFloat16Vector() convert the first elements, eight at a time, and
// return the number of elements that they converted. The caller converts the rest.
__attribute__((target("avx2,f16c"))) int64_t PackFloat16Vector(const float* in, int64_t n,
                                                               uint16_t* out) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
  }
  return i;
}

template <bool kAdd>
__attribute__((target("avx2,f16c"))) int64_t UnpackFloat16Vector(const uint16_t* in, int64_t n,
                                                                 float* out) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 value = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i)));
    if (kAdd) value = _mm256_add_ps(_mm256_loadu_ps(out + i), value);
    _mm256_storeu_ps(out + i, value);
  }
  return i;
}

#else

int64_t PackFloat16Vector(const float*, int64_t, uint16_t*) { return 0; }
template <bool kAdd>
int64_t UnpackFloat16Vector(const uint16_t*, int64_t, float*) {
  return 0;
}

#endif

}  // namespace

Chunk ChunkOf(int64_t n, int size, int index) {
  constexpr int64_t kLine = 16;
  const int64_t lines = (n + kLine - 1) / kLine;
  const int64_t step = (lines + size - 1) / size * kLine;
  return {std::min(n, step * index), std::min(n, step * (index + 1))};
}

void Accumulate(const float* in, int64_t n, float* sum) {
  for (int64_t i = 0; i < n; ++i) sum[i] += in[i];
}

void Pack(const float* in, int64_t n, Wire wire, void* out) {
  auto* bits = static_cast<uint16_t*>(out);
  switch (wire) {
    case Wire::kFloat32:
      std::memcpy(out, in, n * sizeof(float));
      return;
    case Wire::kBFloat16:
      for (int64_t i = 0; i < n; ++i) bits[i] = ToBfloat16(in[i]);
      return;
    case Wire::kFloat16:
      for (int64_t i = ThisProcessor().f16c ? PackFloat16Vector(in, n, bits) : 0; i < n; ++i) {
        bits[i] = ToFloat16(in[i]);
      }
      return;
  }
}

void Unpack(const void* in, int64_t n, Wire wire, float* out) {
  const auto* bits = static_cast<const uint16_t*>(in);
  switch (wire) {
    case Wire::kFloat32:
      std::memcpy(out, in, n * sizeof(float));
      return;
    case Wire::kBFloat16:
      for (int64_t i = 0; i < n; ++i) out[i] = FromBfloat16(bits[i]);
      return;
    case Wire::kFloat16:
      for (int64_t i = ThisProcessor().f16c ? UnpackFloat16Vector<false>(bits, n, out) : 0; i < n;
           ++i) {
        out[i] = FromFloat16(bits[i]);
      }
      return;
  }
}

void AccumulatePacked(const void* in, int64_t n, Wire wire, float* sum) {
  const auto* bits = static_cast<const uint16_t*>(in);
  switch (wire) {
    case Wire::kFloat32:
      Accumulate(static_cast<const float*>(in), n, sum);
      return;
    case Wire::kBFloat16:
      for (int64_t i = 0; i < n; ++i) sum[i] += FromBfloat16(bits[i]);
      return;
    case Wire::kFloat16:
      for (int64_t i = ThisProcessor().f16c ? UnpackFloat16Vector<true>(bits, n, sum) : 0; i < n;
           ++i) {
        sum[i] += FromFloat16(bits[i]);
      }
      return;
  }
}

}  // namespace finetune
