#ifndef FINETUNE_COMM_WIRE_H_
#define FINETUNE_COMM_WIRE_H_

#include <cstddef>
#include <cstdint>

namespace finetune {

// The type in which float32 numbers travel. kFloat16 overflows to infinity over 65504; kBFloat16
// has float32's range.
enum class Wire { kFloat32, kBFloat16, kFloat16 };

// Bytes of one number.
constexpr size_t WireSize(Wire wire) { return wire == Wire::kFloat32 ? 4 : 2; }

// The elements that one rank sums in an all-reduce of `n` over `size` ranks: [begin, end).
struct Chunk {
  int64_t begin;
  int64_t end;
  int64_t size() const { return end - begin; }
};

// Chunk `index` of `size` of nearly equal size, cut at 64 bytes; the last ones may be smaller or
// empty. All-reduces add chunk c in the order of ranks c, c + 1, ..., c - 1 (a ring's), so that
// their sums do not depend on which of them runs.
Chunk ChunkOf(int64_t n, int size, int index);

// sum[i] += in[i].
void Accumulate(const float* in, int64_t n, float* sum);

// out[i] = in[i] rounded to nearest even. `out`: n * WireSize(wire) bytes.
void Pack(const float* in, int64_t n, Wire wire, void* out);
// out[i] = in[i].
void Unpack(const void* in, int64_t n, Wire wire, float* out);
// sum[i] += in[i].
void AccumulatePacked(const void* in, int64_t n, Wire wire, float* sum);

}  // namespace finetune

#endif  // FINETUNE_COMM_WIRE_H_
