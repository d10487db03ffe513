#ifndef FINETUNE_BASE_BFLOAT16_H_
#define FINETUNE_BASE_BFLOAT16_H_

#include <bit>
#include <cstdint>

namespace finetune {

// bfloat16: the upper half of a float32.
struct Bfloat16 {
  uint16_t bits;
};

// FromBfloat16() and ToBfloat16() are plain integer operations and always inlined, so that the
// compiler vectorises each calling loop for the instruction set of the caller.
inline __attribute__((always_inline)) float FromBfloat16(uint16_t bits) {
  return std::bit_cast<float>(uint32_t{bits} << 16);
}

// Rounds to nearest, ties to even. Every NaN becomes the NaN 0x7fc0, because rounding a NaN's bits
// could make it an infinity.
inline __attribute__((always_inline)) uint16_t ToBfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return static_cast<uint16_t>(value == value ? rounded : 0x7fc0);
}

}  // namespace finetune

#endif  // FINETUNE_BASE_BFLOAT16_H_
