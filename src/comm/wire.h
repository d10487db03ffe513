#ifndef FINETUNE_COMM_WIRE_H_
#define FINETUNE_COMM_WIRE_H_

#include <cstddef>
#include <cstdint>

namespace finetune {

// The type in which float32 numbers are sent. kFloat16 overflows to infinity over 65504. kBFloat16
// has float32's range.
enum class Wire { kFloat32, kBFloat16, kFloat16 };

// The bytes of one number.
constexpr size_t WireSize(Wire wire) { return wire == Wire::kFloat32 ? 4 : 2; }

// The elements [begin, end) that one rank sums in an all-reduce.
struct Chunk {
  int64_t begin;
  int64_t end;
  int64_t size() const { return end - begin; }
};

// Returns chunk `index` of `n` elements cut into `size` chunks of nearly equal size, at multiples
// of 64 bytes. The last chunks may be smaller or empty. Every all-reduce adds chunk c in the order
// of ranks c, c + 1, ..., c - 1, which is a ring's order, so the sums do not depend on the
// algorithm.
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
