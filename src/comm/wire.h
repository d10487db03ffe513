#ifndef FINETUNE_COMM_WIRE_H_
#define FINETUNE_COMM_WIRE_H_

#include <cstddef>
#include <cstdint>

namespace finetune {

// The type in which float32 numbers are sent between ranks. A number too large for kFloat16 (over
// 65504) is sent as infinity. kBFloat16 has float32's range.
enum class Wire { kFloat32, kBFloat16, kFloat16 };

// Returns the size of one number in bytes.
constexpr size_t WireSize(Wire wire) { return wire == Wire::kFloat32 ? 4 : 2; }

// The elements [begin, end) of an array: one of the chunks into which an all-reduce cuts the array.
struct Chunk {
  int64_t begin;
  int64_t end;
  int64_t size() const { return end - begin; }
};

// Cuts an array of `n` float32 elements into `size` chunks (one for each rank) and returns chunk
// `index`. All chunks have the same size, a multiple of 64 bytes, except that the last chunks may
// be smaller or empty.
//
// Each all-reduce algorithm of this folder's MPI code adds the ranks' values of chunk c in this
// order: rank c, c + 1, ..., size - 1, 0, ..., c - 1. A ring adds in this order by nature. As all
// algorithms use it, their sums have the same bits.
Chunk ChunkOf(int64_t n, int size, int index);

// Sets sum[i] += in[i] for i in [0, n).
void Accumulate(const float* in, int64_t n, float* sum);

// Converts in[0, n) to `wire`, rounding to nearest even. `out`: n * WireSize(wire) bytes.
void Pack(const float* in, int64_t n, Wire wire, void* out);
// Inverse of Pack(): converts n numbers of type `wire` to float32.
void Unpack(const void* in, int64_t n, Wire wire, float* out);
// Converts n numbers of type `wire` to float32 and adds them: sum[i] += in[i].
void AccumulatePacked(const void* in, int64_t n, Wire wire, float* sum);

}  // namespace finetune

#endif  // FINETUNE_COMM_WIRE_H_
