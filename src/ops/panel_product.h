#ifndef FINETUNE_OPS_PANEL_PRODUCT_H_
#define FINETUNE_OPS_PANEL_PRODUCT_H_

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "src/ops/vectors.h"

// Products of matrices, the kernel that all our convolutions share: product [rows, columns] =
// left [rows, steps] x right [steps, columns].
//
// Method: as in Goto and van de Geijn 2008, "Anatomy of High-Performance Matrix Multiplication". A
// tile of kTileRows rows and kPanel columns stays in registers while the sum runs over the steps.
// Each step loads one row of the right factor, kTileVectors vectors, and multiplies each of the
// tile's rows of the left factor with it: kTileRows * kTileVectors multiply-adds for
// kTileRows + kTileVectors loads.
//
// Memory: a unit is the content of a 32-bit lane, one float32 or two bfloat16 numbers that are
// neighbours along the sum (kPerUnit). A step is one unit long. The right factor is packed into
// panels of kPanel columns, each [steps, kPanel] units, a step after the other. The left factor is
// read in place: LeftFactor gives the distances between its rows and its steps, so that it may be
// turned. The product is float32, row by row.
//
// Invariants: rows are whole tiles, or kPanel % kTileRows more. Sums are float32. A long sum runs
// in parts of kTileSteps, so that a part of the panel stays in the first cache while all rows pass
// by; the parts are added in order, and so results are the same bits for any number of threads.
//
// Reference: at::conv2d in float64, by conv_test.cc for each kind of vectors.

namespace finetune {

// The rows of a product's tile.
inline constexpr int64_t kTileRows = 6;
// The columns of a product's tile and of a panel. A panel is [steps, kPanel] units, row by row.
template <typename N>
inline constexpr int64_t kPanel = N::kLanes* N::kTileVectors;

// kLanes rows of as many values along the sum, turned, into those columns of a panel.
template <typename N>
FT_INLINE void StoreTransposed(typename N::Floats* lanes, uint32_t* units) {
  Transpose<N::kLanes>(lanes);
  for (int64_t i = 0; i < N::kLanes; i += N::kPerUnit, units += kPanel<N>) {
    typename N::Bits unit;
    N::ToUnits(&lanes[i], unit);
    std::memcpy(units, &unit, sizeof(unit));
  }
}

// Cuts the steps of a long sum into chunks, where both factors are packed for it, `units` a step: a
// chunk's packed factors stay in the cache until they are multiplied, and need no more memory than
// that. A chunk has at least `least` steps, or all there are.
struct Chunks {
  static constexpr int64_t kBytes = 5 << 20;

  Chunks(int64_t all_steps, int64_t units, int64_t least) : steps(all_steps) {
    const int64_t most = std::max(least, kBytes / (units * 4));
    const int64_t chunks = std::max<int64_t>(1, (steps + most - 1) / most);
    size = (steps + chunks - 1) / chunks;
  }

  int64_t steps, size;
};

// The products of kRows rows with a panel: finish(r, v, sum) gets those of row r with the v-th
// vector of the panel's columns, summed over `steps`. unit(r, s) is the factor on the left. Both
// are inlined and copied. In a function of its own: among others GCC 12 runs out of registers for
// the sums.
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

// A factor on the left: the unit of row r at step s is data[r * row_stride + s * step_stride].
struct LeftFactor {
  const uint32_t* data;
  int64_t row_stride, step_stride;
};

// Steps that are summed at a time: a panel's stay in a core's first cache while rows pass by.
inline constexpr int64_t kTileSteps = 192;

// product [rows, kPanel], `stride` between its rows, = (or +=, where `add`) left * panel. `rows`
// are whole tiles and 0 or kPanel % kTileRows more.
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
