#ifndef FINETUNE_OPS_PANEL_PRODUCT_H_
#define FINETUNE_OPS_PANEL_PRODUCT_H_

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "src/ops/vectors.h"

// Matrix products, the kernel of the Winograd and 1x1 convolutions and of the weight gradients:
// product [rows, columns] = left [rows, sum] x right [sum, columns].
//
// Method: as in Goto and van de Geijn 2008, "Anatomy of High-Performance Matrix Multiplication". A
// tile is kTileRows rows and kPanel columns of the product. It stays in registers while the sum
// runs over the steps. Each step loads one row of the right factor, kTileVectors vectors, and
// multiplies it by one factor of each of the tile's rows: kTileRows * kTileVectors multiply-adds
// for kTileRows + kTileVectors loads.
//
// Memory: a unit is the content of a 32-bit lane: kPerUnit numbers that are neighbours along the
// sum (one float32 or two bfloat16). A step is one unit of the sum. The right factor is packed into
// panels. A panel holds kPanel columns as [steps, kPanel] units. The left factor is read in place:
// LeftFactor gives the distances between its rows and between its steps, so a transposed matrix
// needs no copy. The product is float32, row by row.
//
// Invariants: the number of rows is a multiple of kTileRows, plus 0 or kPanel % kTileRows. Sums are
// float32. A long sum runs in parts of at most kTileSteps steps, so that a part of the panel stays
// in the L1 cache while all rows are multiplied with it. The parts are added in the order of the
// steps, so the number of threads does not change a bit of the results.
//
// Reference: at::conv2d in float64, by conv_test.cc for each instruction set.

namespace finetune {

// The number of rows of a product's tile.
inline constexpr int64_t kTileRows = 6;
// The number of columns of a product's tile and of a panel.
template <typename N>
inline constexpr int64_t kPanel = N::kLanes* N::kTileVectors;

// Writes kLanes columns of a panel over kLanes numbers of the sum, which are kLanes / kPerUnit
// steps. lanes[i] holds the numbers of column i; the function overwrites `lanes`. `units` points to
// the first column's first unit in the panel.
template <typename N>
FT_INLINE void StoreTransposed(typename N::Floats* lanes, uint32_t* units) {
  Transpose<N::kLanes>(lanes);
  for (int64_t i = 0; i < N::kLanes; i += N::kPerUnit, units += kPanel<N>) {
    typename N::Bits unit;
    N::ToUnits(&lanes[i], unit);
    std::memcpy(units, &unit, sizeof(unit));
  }
}

// Cuts the `all_steps` steps of a long sum into chunks of about equal size. Both factors are packed
// for one chunk at a time, so that they stay in the cache until they are multiplied and memory is
// needed for one chunk only. `units`: the units of both factors in one step. A chunk's factors take
// at most kBytes, or `least` steps where kBytes holds fewer.
struct Chunks {
  static constexpr int64_t kBytes = 5 << 20;

  Chunks(int64_t all_steps, int64_t units, int64_t least) : steps(all_steps) {
    const int64_t most = std::max(least, kBytes / (units * 4));
    const int64_t chunks = std::max<int64_t>(1, (steps + most - 1) / most);
    size = (steps + chunks - 1) / chunks;
  }

  int64_t steps, size;
};

// Multiplies kRows rows of the left factor by a panel. unit(r, s) returns the left factor's unit of
// row r at step s. Calls finish(r, v, sum) for each row r and each vector v of the panel's columns;
// `sum` is the product, summed over all steps. N::Run() keeps this a function of its own, into
// which copies of `unit` and `finish` are inlined: in a larger function GCC 12 runs out of
// registers for the sums.
template <typename N, int64_t kRows, typename Unit, typename Finish>
FT_INLINE void MultiplyTile(const Unit& unit, const uint32_t* panel, int64_t steps,
                            const Finish& finish) {
  N::Run([=]() __attribute__((always_inline)) {
    constexpr int64_t kVectors = N::kTileVectors;
    typename N::Floats sums[kRows * kVectors] = {};
    for (int64_t s = 0; s < steps; ++s) {
      typename N::Bits units[kVectors];
      Unrolled<kVectors>([&](int64_t v) __attribute__((always_inline)) {
        std::memcpy(&units[v], panel + s * kPanel<N> + v * N::kLanes, sizeof(units[v]));
      });
      Unrolled<kRows>([&](int64_t r) __attribute__((always_inline)) {
        const uint32_t factor = unit(r, s);
        Unrolled<kVectors>([&](int64_t v) __attribute__((always_inline)) {
          N::MultiplyAdd(factor, units[v], sums[r * kVectors + v]);
        });
      });
    }
    Unrolled<kRows * kVectors>([&](int64_t i) __attribute__((always_inline)) {
      finish(i / kVectors, i % kVectors, sums[i]);
    });
  });
}

// The left factor of a product. A unit is one float32 value, or two bfloat16 values that are
// multiplied in one step (see the head of this file). data[r * row_stride + s * step_stride] is the
// unit of row r at step s.
struct LeftFactor {
  const uint32_t* data;
  int64_t row_stride, step_stride;
};

// The most steps that are summed at a time, so that this part of a panel stays in a core's L1 cache
// while all rows are multiplied with it.
inline constexpr int64_t kTileSteps = 192;

// Computes product = left * panel, or product += left * panel where `add` is true. product: [rows,
// kPanel] float32, `stride` elements from row to row. `rows` is a multiple of kTileRows, plus 0 or
// kPanel % kTileRows.
template <typename N>
FT_INLINE void MultiplyPanel(LeftFactor left, int64_t rows, const uint32_t* panel, int64_t steps,
                             bool add, float* product, int64_t stride) {
  const int64_t parts = (steps + kTileSteps - 1) / kTileSteps, size = (steps + parts - 1) / parts;
  for (int64_t from = 0; from < steps; from += size, add = true) {
    const int64_t count = steps - from < size ? steps - from : size;
    int64_t row = 0;
    const auto multiply = [&]<int64_t kRows>() __attribute__((always_inline)) {
      const uint32_t* data = left.data + row * left.row_stride + from * left.step_stride;
      float* to = product + row * stride;
      const auto unit = [=](int64_t r, int64_t s) __attribute__((always_inline)) {
        return data[r * left.row_stride + s * left.step_stride];
      };
      const auto finish = [=](int64_t r, int64_t v, typename N::Floats & sum)
          __attribute__((always_inline)) {
        float* place = to + r * stride + v * N::kLanes;
        if (add) {
          typename N::Floats before;
          std::memcpy(&before, place, sizeof(before));
          sum += before;
        }
        std::memcpy(place, &sum, sizeof(sum));
      };
      MultiplyTile<N, kRows>(unit, panel + from * kPanel<N>, count, finish);
    };
    for (; row + kTileRows <= rows; row += kTileRows) multiply.template operator()<kTileRows>();
    if (row < rows) multiply.template operator()<kPanel<N> % kTileRows>();
  }
}

}  // namespace finetune

#endif  // FINETUNE_OPS_PANEL_PRODUCT_H_
