#ifndef FINETUNE_MODEL_PANEL_PRODUCT_H_
#define FINETUNE_MODEL_PANEL_PRODUCT_H_

#include <cstdint>

#include "src/model/vectors.h"

namespace finetune {

// The rows of a product's tile.
inline constexpr int64_t kTileRows = 6;
// Its columns, and those of a panel: a factor [steps, kPanel] of units, a row after the other.
template <typename N>
inline constexpr int64_t kPanel = N::kLanes* N::kTileVectors;

// The factor on the left: the unit of row r at step s is data[r * row_stride + s * step_stride].
struct LeftFactor {
  const uint32_t* data;
  int64_t row_stride, step_stride;
};

// product [kRows, kPanel], `stride` between its rows, = (or +=, where `add`) left * panel. In a
// function of its own: among others GCC 12 runs out of registers for the sums.
template <typename N, int64_t kRows>
FT_INLINE void MultiplyTile(LeftFactor left, const uint32_t* panel, int64_t steps, bool add,
                            float* product, int64_t stride) {
  N::Run([=]() __attribute__((always_inline)) {
    constexpr int64_t kVectors = N::kTileVectors;
    typename N::Floats sums[kRows * kVectors] = {};
    for (int64_t s = 0; s < steps; ++s) {
      typename N::Bits units[kVectors];
      Unrolled<kVectors>([&](int64_t v) __attribute__((always_inline)) {
        std::memcpy(&units[v], panel + s * kPanel<N> + v * N::kLanes, sizeof(units[v]));
      });
      Unrolled<kRows>([&](int64_t r) __attribute__((always_inline)) {
        const uint32_t unit = left.data[r * left.row_stride + s * left.step_stride];
        Unrolled<kVectors>([&](int64_t v) __attribute__((always_inline)) {
          N::MultiplyAdd(unit, units[v], sums[r * kVectors + v]);
        });
      });
    }
    Unrolled<kRows * kVectors>([&](int64_t i) __attribute__((always_inline)) {
      float* to = product + i / kVectors * stride + i % kVectors * N::kLanes;
      if (add) {
        typename N::Floats before;
        std::memcpy(&before, to, sizeof(before));
        sums[i] += before;
      }
      std::memcpy(to, &sums[i], sizeof(sums[i]));
    });
  });
}

// How many steps of two panels stay in a core's cache.
inline constexpr int64_t kTileSteps = 384;

// product [kPanel, kPanel], `stride` between its rows, = (or +=, where `add`) the panel `left`,
// turned, * the panel `right`, both of `steps`.
template <typename N>
FT_INLINE void MultiplyPanels(const uint32_t* left, const uint32_t* right, int64_t steps, bool add,
                              float* product, int64_t stride) {
  for (int64_t from = 0; from < steps; from += kTileSteps, add = true) {
    const int64_t count = steps - from < kTileSteps ? steps - from : kTileSteps;
    const uint32_t* panel = right + from * kPanel<N>;
    for (int64_t r = 0; r < kPanel<N>; r += kTileRows) {
      const LeftFactor rows{left + from * kPanel<N> + r, 1, kPanel<N>};
      // The rows that whole tiles leave.
      constexpr int64_t kRest = kPanel<N> % kTileRows;
      if (r + kTileRows <= kPanel<N>) {
        MultiplyTile<N, kTileRows>(rows, panel, count, add, product + r * stride, stride);
      } else {
        MultiplyTile<N, kRest>(rows, panel, count, add, product + r * stride, stride);
      }
    }
  }
}

}  // namespace finetune

#endif  // FINETUNE_MODEL_PANEL_PRODUCT_H_
