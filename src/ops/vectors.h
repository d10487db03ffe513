#ifndef FINETUNE_OPS_VECTORS_H_
#define FINETUNE_OPS_VECTORS_H_

#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace finetune {

// Vector instructions of x86 processors, for kernels that are written once for several instruction
// sets. A kernel is a template on a type N: Float32Lanes<Avx2>, Float32Lanes<Avx512> or
// Bfloat16Lanes. N gives the vector types and their operations. A kernel must be inlined into
// N::Run(), the only function that the compiler builds for N's instructions.

// GCC warns that how a vector is passed by value depends on the instruction set of the function.
// The functions here are always inlined, so no vector is passed.
#pragma GCC diagnostic ignored "-Wpsabi"
#define FT_INLINE inline __attribute__((always_inline))

// The instruction sets of processors. Each includes those before it.
enum class Vectors { kNone, kAvx2, kAvx512, kAvx512Bfloat16 };

// Returns the best instruction set that this processor has and the operating system allows.
Vectors BestVectors();
// Returns the best instruction set for the products of panel_product.h. Where the processor has AMX
// this excludes AVX-512's bfloat16: oneDNN multiplies bfloat16 faster, by AMX.
Vectors BestProductVectors();

struct Avx2 {
  static constexpr int64_t kLanes = 8;
  using Floats = float __attribute__((vector_size(32)));
  using Bits = uint32_t __attribute__((vector_size(32)));
  // The number of vectors in a row of a product's tile. The tile's 6 rows of these, the panel's row
  // and a factor fit the registers.
  static constexpr int64_t kTileVectors = 2;

  template <typename Work>
  __attribute__((target("avx2,fma"), noinline)) static void Run(const Work& work) {
    work();
  }
};

struct Avx512 {
  static constexpr int64_t kLanes = 16;
  using Floats = float __attribute__((vector_size(64)));
  using Bits = uint32_t __attribute__((vector_size(64)));
  static constexpr int64_t kTileVectors = 4;

  template <typename Work>
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"), noinline)) static void Run(
      const Work& work) {
    work();
  }
};

// Writes the greater of a and b in each lane to `greater`; where either is NaN, b. Uses the
// instruction by its name, which is the same for all vector sizes. GCC 12 would compare lane by
// lane in a function that gets its instruction set only by being inlined.
template <typename Floats>
FT_INLINE void Max(const Floats& a, const Floats& b, Floats& greater) {
  asm("vmaxps %1, %2, %0" : "=v"(greater) : "v"(b), "v"(a));
}

// Writes the lesser of a and b in each lane to `lesser`; where either is NaN, b.
template <typename Floats>
FT_INLINE void Min(const Floats& a, const Floats& b, Floats& lesser) {
  asm("vminps %1, %2, %0" : "=v"(lesser) : "v"(b), "v"(a));
}

// float32 numbers in memory and in products. Load(), Store() and Stream() move kLanes numbers
// between memory and a vector. Bits holds a unit of a product in each 32-bit lane: kPerUnit numbers
// that are neighbours along the sum. ToUnits() packs kPerUnit vectors: lane i of `to` gets lane i
// of each.
template <typename Isa>
struct Float32Lanes : Isa {
  using typename Isa::Bits;
  using typename Isa::Floats;
  using Storage = float;
  static constexpr int64_t kPerUnit = 1;

  static FT_INLINE void Load(const float* from, Floats& to) { std::memcpy(&to, from, sizeof(to)); }
  static FT_INLINE void Store(const Floats& from, float* to) {
    std::memcpy(to, &from, sizeof(from));
  }
  // Does the same as Store(), but by a non-temporal store, which bypasses the caches. `to` must be
  // aligned to the size of the stored vector.
  static FT_INLINE void Stream(const Floats& from, float* to) {
    asm volatile("vmovntps %1, %0" : "=m"(*reinterpret_cast<Floats*>(to)) : "v"(from));
  }
  static FT_INLINE void ToUnits(const Floats* from, Bits& to) {
    std::memcpy(&to, from, sizeof(to));
  }

  // Adds the product of `unit` and each lane of `units` to that lane of `sum`.
  static FT_INLINE void MultiplyAdd(uint32_t unit, const Bits& units, Floats& sum) {
    float factor;
    Floats factors;
    std::memcpy(&factor, &unit, sizeof(factor));
    std::memcpy(&factors, &units, sizeof(factors));
    sum += factor * factors;
  }
};

// The same for bfloat16 numbers in memory and in products; vectors of Floats and sums are float32.
// Uses instructions by their names: in a function that gets its instruction set only by being
// inlined, GCC 12 compiles vector conversions to slower code and cannot inline intrinsics.
struct Bfloat16Lanes : Avx512 {
  using Storage = uint16_t;
  using Halves = uint16_t __attribute__((vector_size(32)));
  using Words = uint16_t __attribute__((vector_size(64)));
  static constexpr int64_t kPerUnit = 2;

  static FT_INLINE void Load(const uint16_t* from, Floats& to) {
    Halves halves;
    Bits bits;
    std::memcpy(&halves, from, sizeof(halves));
    asm("vpmovzxwd %1, %0" : "=v"(bits) : "vm"(halves));
    bits <<= 16;
    std::memcpy(&to, &bits, sizeof(to));
  }
  // Rounds to nearest, ties to even. NaN stays NaN.
  static FT_INLINE void Store(const Floats& from, uint16_t* to) {
    Halves halves;
    asm("vcvtneps2bf16 %1, %0" : "=v"(halves) : "v"(from));
    std::memcpy(to, &halves, sizeof(halves));
  }
  static FT_INLINE void Stream(const Floats& from, uint16_t* to) {
    Halves halves;
    asm("vcvtneps2bf16 %1, %0" : "=v"(halves) : "v"(from));
    asm volatile("vmovntdq %1, %0" : "=m"(*reinterpret_cast<Halves*>(to)) : "v"(halves));
  }
  static FT_INLINE void ToUnits(const Floats* from, Bits& to) {
    // `words` holds all of from[0], then all of from[1]. The permutation interleaves the two.
    Words words;
    asm("vcvtne2ps2bf16 %1, %2, %0" : "=v"(words) : "v"(from[0]), "v"(from[1]));
    constexpr Words kTurns = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                              8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    asm("vpermw %1, %2, %0" : "=v"(to) : "v"(words), "v"(kTurns));
  }
  static FT_INLINE void MultiplyAdd(uint32_t unit, const Bits& units, Floats& sum) {
    const Bits factors = unit - Bits{};
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(units), "v"(factors));
  }

  template <typename Work>
  static void Run(const Work& work) {
    Avx512::Run(work);
  }
};

// Calls work(0), work(1), ... work(kCount - 1) without a loop. GCC 12 keeps an array in registers
// only where every index into it is a constant from the start. The indices of a loop become
// constants too late, when the loop is unrolled.
template <int64_t kCount, typename Work>
FT_INLINE void Unrolled(const Work& work) {
  [&]<int64_t... kIndex>(std::integer_sequence<int64_t, kIndex...>) __attribute__((always_inline)) {
    (work(kIndex), ...);
  }
  (std::make_integer_sequence<int64_t, kCount>());
}

// One step of Transpose() on row i (`upper`) and row i + kBlock (`lower`). Both rows are seen as
// blocks of kBlock lanes, numbered from 0. Exchanges each odd block of `upper` with the block
// before it in `lower`.
template <int64_t kBlock, typename V, size_t... kLane>
FT_INLINE void ExchangeBlocks(V& upper, V& lower, std::index_sequence<kLane...> /*lanes*/) {
  constexpr int64_t kLanes = sizeof...(kLane);
  const V a = upper, b = lower;
  upper = __builtin_shufflevector(a, b, ((kLane & kBlock) ? kLanes + kLane - kBlock : kLane)...);
  lower = __builtin_shufflevector(a, b, ((kLane & kBlock) ? kLanes + kLane : kLane + kBlock)...);
}

// Transposes a square matrix of kLanes vectors in place.
template <int64_t kLanes, int64_t kBlock = 1, typename V>
FT_INLINE void Transpose(V* rows) {
  for (int64_t i = 0; i < kLanes; ++i) {
    if (i & kBlock) continue;
    ExchangeBlocks<kBlock>(rows[i], rows[i + kBlock], std::make_index_sequence<kLanes>());
  }
  if constexpr (2 * kBlock < kLanes) Transpose<kLanes, 2 * kBlock>(rows);
}

// Calls work.operator()<N>() with the best N for tensors of `type` on a processor that has
// `vectors`. Returns false, without a call, where there is no such N.
template <typename Work>
bool ForNumbers(c10::ScalarType type, Vectors vectors, const Work& work) {
  if (type == c10::kBFloat16 && vectors >= Vectors::kAvx512Bfloat16) {
    work.template operator()<Bfloat16Lanes>();
  } else if (type == c10::kFloat && vectors >= Vectors::kAvx512) {
    work.template operator()<Float32Lanes<Avx512>>();
  } else if (type == c10::kFloat && vectors >= Vectors::kAvx2) {
    work.template operator()<Float32Lanes<Avx2>>();
  } else {
    return false;
  }
  return true;
}

// Calls ForNumbers(), and throws c10::Error where it returns false.
template <typename Work>
void MustForNumbers(c10::ScalarType type, Vectors vectors, const Work& work) {
  TORCH_CHECK(ForNumbers(type, vectors, work), "this processor has no kernels for ",
              c10::toString(type));
}

}  // namespace finetune

#endif  // FINETUNE_OPS_VECTORS_H_
