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

// Steps that are summed at a time: a panel's stay in a core's first cache while rows pass by.
inline constexpr int64_t kTileSteps = 192;

// The same for `rows`, which are whole tiles and 0 or kPanel % kTileRows more.
template <typename N>
FT_INLINE void MultiplyPanel(LeftFactor left, int64_t rows, const uint32_t* panel, int64_t steps,
                             bool add, float* product, int64_t stride) {
  const int64_t parts = (steps + kTileSteps - 1) / kTileSteps, size = (steps + parts - 1) / parts;
  for (int64_t from = 0; from < steps; from += size, add = true) {
    const int64_t count = steps - from < size ? steps - from : size;
    int64_t r = 0;
    const auto multiply = [&]<int64_t kRows>() __attribute__((always_inline)) {
      const LeftFactor part{left.data + r * left.row_stride + from * left.step_stride,
                            left.row_stride, left.step_stride};
      MultiplyTile<N, kRows>(part, panel + from * kPanel<N>, count, add, product + r * stride,
                             stride);
    };
    for (; r + kTileRows <= rows; r += kTileRows) multiply.template operator()<kTileRows>();
    if (r < rows) multiply.template operator()<kPanel<N> % kTileRows>();
  }
}

}  // namespace finetune

#endif  // FINETUNE_MODEL_PANEL_PRODUCT_H_
