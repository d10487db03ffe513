#include "src/ops/max_pool.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>

namespace finetune {
namespace {

// Computes lines [begin, end) of the result. A line is a row of pixels; lines are counted through
// all images. map: [N, height, width, channels] in memory.
template <typename N>
FT_INLINE void PoolLines(const typename N::Storage* map, int64_t height, int64_t width,
                         int64_t channels, bool relu, int64_t begin, int64_t end,
                         typename N::Storage* result) {
  const int64_t down = (height + 1) / 2, across = (width + 1) / 2;
  for (int64_t line = begin; line < end; ++line) {
    const int64_t y = line % down * 2;
    const typename N::Storage* image = map + line / down * height * width * channels;
    for (int64_t i = 0; i < across; ++i) {
      typename N::Storage* to = result + (line * across + i) * channels;
      const int64_t to_x = std::min(2 * i + 2, width), to_y = std::min(y + 2, height);
      for (int64_t c = 0; c < channels; c += N::kLanes) {
        // The maximum starts from 0, which gives the pooling of relu(x), or from the pixel in the
        // middle of the window, which always lies inside the map.
        typename N::Floats most = {};
        if (!relu) N::Load(image + (y * width + 2 * i) * channels + c, most);
        for (int64_t row = std::max<int64_t>(y - 1, 0); row < to_y; ++row) {
          for (int64_t x = std::max<int64_t>(2 * i - 1, 0); x < to_x; ++x) {
            typename N::Floats value;
            N::Load(image + (row * width + x) * channels + c, value);
            // Max() returns its second argument where either is NaN. So where `most` or `value` is
            // NaN, one of the two calls returns NaN, and OR of the bits keeps it. Otherwise both
            // calls return the same.
            typename N::Floats one, other;
            typename N::Bits one_bits, other_bits;
            Max(most, value, one);
            Max(value, most, other);
            std::memcpy(&one_bits, &one, sizeof(one));
            std::memcpy(&other_bits, &other, sizeof(other));
            one_bits |= other_bits;
            std::memcpy(&most, &one_bits, sizeof(most));
          }
        }
        N::Store(most, to + c);
      }
    }
  }
}

}  // namespace

bool MaxPool3x3Runs(const at::Tensor& x, Vectors vectors) {
  bool fits = false;
  ForNumbers(x.scalar_type(), vectors, [&]<typename N>() { fits = x.size(1) % N::kLanes == 0; });
  return fits && x.is_cpu() && x.size(2) > 0 && x.size(3) > 0;
}

at::Tensor MaxPool3x3(const at::Tensor& input, bool relu, Vectors vectors) {
  const at::Tensor x = input.contiguous(at::MemoryFormat::ChannelsLast);
  const int64_t channels = x.size(1), height = x.size(2), width = x.size(3);
  at::Tensor y = at::empty({x.size(0), channels, (height + 1) / 2, (width + 1) / 2}, x.options(),
                           at::MemoryFormat::ChannelsLast);
  MustForNumbers(x.scalar_type(), vectors, [&]<typename N>() {
    const auto* map = static_cast<const typename N::Storage*>(x.const_data_ptr());
    auto* result = static_cast<typename N::Storage*>(y.mutable_data_ptr());
    at::parallel_for(0, y.size(0) * y.size(2), 1, [&](int64_t begin, int64_t end) {
      N::Run([&]() __attribute__((always_inline)) {
        PoolLines<N>(map, height, width, channels, relu, begin, end, result);
      });
    });
  });
  return y;
}

}  // namespace finetune
