// 1x1 convolutions and the gradient of their input as matrix products (panel_product.h).
//
// Problem: as separate operators, bias, residual add and ReLU each read and write the whole map,
// which takes far longer than their arithmetic.
//
// Method: result [pixels, K] = map [pixels, C] x weight^T [C, K]. A row of the left factor is a
// pixel, read in place. A tile of kTileRows pixels and one panel of kernels stays in registers
// while the sum runs over C; then bias, residual and ReLU are applied and the tile is written. With
// a stride, the rows are only the pixels that the convolution uses. The gradient of the input is
// the product of dy and the weight [K, C]; with a stride, the pixels that the convolution skips
// stay 0.
//
// Memory: maps are [N, H, W, C] (channels-last), the packed weight is [panels, steps, kPanel]
// units.
//
// Invariants: K and C are multiples of kPanel. A thread computes whole pixels, all channels of
// each. Every result is one sum in float32 over all of C, so the number of threads does not change
// a bit.
//
// Reference: at::conv2d in float64, by conv_test.cc.
#include "src/ops/pointwise.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <optional>

#include "src/ops/panel_product.h"
#include "src/ops/shares.h"

namespace finetune {
namespace {

// The number of pixels that a thread takes at a time: so many that a panel is used often once it is
// loaded, and so few that they stay in the cache.
constexpr int64_t kBlockRows = 11 * kTileRows;
// A result of more bytes than this is written by non-temporal stores, which bypass the caches. The
// caches could not keep it until it is read, and an ordinary store would first read the memory that
// it overwrites.
constexpr size_t kPastCaches = size_t{32} << 20;
constexpr uintptr_t kCacheLine = 64;

// The pixels of a map [N, H, W, C] in memory that are rows of a product: every `stride`-th pixel of
// every `stride`-th row of each image. `down`, `across`: the numbers of these in a column and a row
// of one image. `rows`: their number in all images.
struct Grid {
  Grid(const at::Tensor& map, int64_t every)
      : stride(every),
        channels(map.size(1)),
        height(map.size(2)),
        width(map.size(3)),
        down((height - 1) / stride + 1),
        across((width - 1) / stride + 1),
        rows(map.size(0) * down * across) {}

  // Returns the offset in the map, in elements, of the pixel that is row `i` of the product.
  int64_t Place(int64_t i) const {
    if (stride == 1) return i * channels;
    const int64_t line = i / across, image = line / down;
    const int64_t y = line % down * stride, x = i % across * stride;
    return ((image * height + y) * width + x) * channels;
  }

  int64_t stride, channels, height, width, down, across, rows;
};

template <typename N>
class Pointwise {
  using Storage = typename N::Storage;
  static constexpr int64_t kLanes = N::kLanes, kPerUnit = N::kPerUnit;

  // Packs weight [K, C] into one panel. Its columns are kernels, and its steps are units of C.
  static FT_INLINE void PackForward(const float* weight, int64_t channels, int64_t panel,
                                    uint32_t* units) {
    for (int64_t k = 0; k < kPanel<N>; k += kLanes) {
      for (int64_t c = 0; c < channels; c += kLanes) {
        typename N::Floats lanes[kLanes];
        for (int64_t i = 0; i < kLanes; ++i) {
          std::memcpy(&lanes[i], weight + (panel * kPanel<N> + k + i) * channels + c,
                      sizeof(lanes[i]));
        }
        StoreTransposed<N>(lanes, units + c / kPerUnit * kPanel<N> + k);
      }
    }
  }

  // Packs weight [K, C] into one panel. Its columns are channels, and its steps are units of K.
  static FT_INLINE void PackBackward(const float* weight, int64_t kernels, int64_t channels,
                                     int64_t panel, uint32_t* units) {
    for (int64_t k = 0; k < kernels; k += kPerUnit) {
      for (int64_t c = 0; c < kPanel<N>; c += kLanes) {
        typename N::Floats lanes[kPerUnit];
        for (int64_t i = 0; i < kPerUnit; ++i) {
          std::memcpy(&lanes[i], weight + (k + i) * channels + panel * kPanel<N> + c,
                      sizeof(lanes[i]));
        }
        typename N::Bits unit;
        N::ToUnits(lanes, unit);
        std::memcpy(units + k / kPerUnit * kPanel<N> + c, &unit, sizeof(unit));
      }
    }
  }

 public:
  static at::Tensor Pack(const at::Tensor& weight, bool backward) {
    const int64_t kernels = weight.size(0), channels = weight.size(1);
    const int64_t panels = (backward ? channels : kernels) / kPanel<N>;
    const int64_t size = (backward ? kernels : channels) / kPerUnit * kPanel<N>;
    at::Tensor result = at::empty({panels, size}, at::kInt);
    const auto* from = weight.const_data_ptr<float>();
    auto* to = static_cast<uint32_t*>(result.mutable_data_ptr());
    at::parallel_for(0, panels, 1, [=](int64_t begin, int64_t end) {
      N::Run([=]() __attribute__((always_inline)) {
        for (int64_t panel = begin; panel < end; ++panel) {
          if (backward) {
            PackBackward(from, kernels, channels, panel, to + panel * size);
          } else {
            PackForward(from, channels, panel, to + panel * size);
          }
        }
      });
    });
    return result;
  }

  // Multiplies the pixels `in_grid` of `in` by `packed` and writes the results to the pixels
  // `out_grid` of `out`.
  static void Multiply(const at::Tensor& in, const Grid& in_grid, const at::Tensor& packed,
                       const at::Tensor& bias, const at::Tensor& residual, bool relu,
                       const at::Tensor& out, const Grid& out_grid) {
    const bool aligned = reinterpret_cast<uintptr_t>(out.const_data_ptr()) % kCacheLine == 0;
    if (aligned && out.nbytes() > kPastCaches) {
      MultiplyInto</*kStream=*/true>(in, in_grid, packed, bias, residual, relu, out, out_grid);
    } else {
      MultiplyInto</*kStream=*/false>(in, in_grid, packed, bias, residual, relu, out, out_grid);
    }
  }

 private:
  template <bool kStream>
  static void MultiplyInto(const at::Tensor& in, const Grid& in_grid, const at::Tensor& packed,
                           const at::Tensor& bias, const at::Tensor& residual, bool relu,
                           const at::Tensor& out, const Grid& out_grid) {
    const auto* from = static_cast<const Storage*>(in.const_data_ptr());
    auto* to = static_cast<Storage*>(out.mutable_data_ptr());
    const auto* units = static_cast<const uint32_t*>(packed.const_data_ptr());
    const auto* added =
        residual.defined() ? static_cast<const Storage*>(residual.const_data_ptr()) : nullptr;
    const auto* shift = bias.defined() ? bias.const_data_ptr<float>() : nullptr;
    const int64_t steps = in_grid.channels / kPerUnit, panels = packed.size(0);
    const int64_t tiles = (in_grid.rows + kTileRows - 1) / kTileRows;
    ForShares(tiles, kBlockRows / kTileRows, [&](const auto& take) {
      N::Run([&]() __attribute__((always_inline)) {
        while (const std::optional<Shares::Range> block = take(kBlockRows / kTileRows)) {
          const int64_t first = block->begin * kTileRows;
          const int64_t rows = std::min(block->end * kTileRows, in_grid.rows) - first;
          const Storage* lefts[kBlockRows];
          int64_t places[kBlockRows];
          for (int64_t r = 0; r < kBlockRows; ++r) {
            // A last tile with too few pixels repeats its last pixel, and so computes that result
            // more than once.
            const int64_t row = first + std::min(r, rows - 1);
            lefts[r] = from + in_grid.Place(row);
            places[r] = out_grid.Place(row);
          }
          for (int64_t panel = 0; panel < panels; ++panel) {
            for (int64_t row = 0; row < rows; row += kTileRows) {
              struct Tile {
                const Storage* left[kTileRows];
                int64_t place[kTileRows];
              } tile;
              std::copy_n(lefts + row, kTileRows, tile.left);
              std::copy_n(places + row, kTileRows, tile.place);
              const auto unit = [tile](int64_t r, int64_t s) __attribute__((always_inline)) {
                uint32_t factor;
                std::memcpy(&factor, tile.left[r] + s * kPerUnit, sizeof(factor));
                return factor;
              };
              const auto finish = [=](int64_t r, int64_t v, typename N::Floats & sum)
                  __attribute__((always_inline)) {
                const int64_t channel = panel * kPanel<N> + v * kLanes;
                const int64_t place = tile.place[r] + channel;
                if (shift != nullptr) {
                  typename N::Floats more;
                  std::memcpy(&more, shift + channel, sizeof(more));
                  sum += more;
                }
                if (added != nullptr) {
                  typename N::Floats more;
                  N::Load(added + place, more);
                  sum += more;
                }
                // Keeps NaN, as every activation must.
                if (relu) sum = sum < 0 ? typename N::Floats{} : sum;
                if constexpr (kStream) {
                  N::Stream(sum, to + place);
                } else {
                  N::Store(sum, to + place);
                }
              };
              MultiplyTile<N, kTileRows>(unit, units + panel * steps * kPanel<N>, steps, finish);
            }
          }
        }
        // Completes this thread's non-temporal stores before other threads may read the result.
        if constexpr (kStream) asm volatile("sfence" ::: "memory");
      });
    });
  }
};

at::Tensor ChannelsLast(const at::Tensor& x) {
  return x.contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor Pack(const at::Tensor& weight, at::ScalarType type, bool backward, Vectors vectors) {
  at::Tensor packed;
  MustForNumbers(type, vectors, [&]<typename N>() {
    packed = Pointwise<N>::Pack(ChannelsLast(weight), backward);
  });
  return packed;
}

}  // namespace

bool PointwiseRuns(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding,
                   Vectors vectors) {
  if (!x.is_cpu() || weight.size(2) != 1 || weight.size(3) != 1 || padding != 0) return false;
  bool fits = false;
  ForNumbers(x.scalar_type(), vectors, [&]<typename N>() {
    fits = weight.size(0) % kPanel<N> == 0 && weight.size(1) % kPanel<N> == 0;
  });
  // There must be at least one block of pixels for each thread.
  return fits && x.numel() > 0 && Grid(x, stride).rows >= kBlockRows * at::get_num_threads();
}

PointwiseWeight PackPointwise(const at::Tensor& weight, at::ScalarType type, Vectors vectors) {
  return {Pack(weight, type, /*backward=*/false, vectors)};
}

at::Tensor PointwiseConv(const at::Tensor& input, const PointwiseWeight& weight,
                         const at::Tensor& bias, const at::Tensor& residual, int64_t stride,
                         bool relu, Vectors vectors) {
  const at::Tensor x = ChannelsLast(input);
  const Grid grid(x, stride);
  at::Tensor y;
  MustForNumbers(x.scalar_type(), vectors, [&]<typename N>() {
    y = at::empty({x.size(0), weight.units.size(0) * kPanel<N>, grid.down, grid.across},
                  x.options(), at::MemoryFormat::ChannelsLast);
    Pointwise<N>::Multiply(x, grid, weight.units, bias,
                           residual.defined() ? ChannelsLast(residual) : residual, relu, y,
                           Grid(y, 1));
  });
  return y;
}

at::Tensor PointwiseInputGradient(const at::Tensor& gradient, const at::Tensor& weight,
                                  const at::Tensor& x, int64_t stride, Vectors vectors) {
  const at::Tensor dy = ChannelsLast(gradient);
  const at::Tensor packed = Pack(weight, dy.scalar_type(), /*backward=*/true, vectors);
  at::Tensor dx = stride == 1 ? at::empty(x.sizes(), dy.options(), at::MemoryFormat::ChannelsLast)
                              : at::zeros_like(x, dy.options(), at::MemoryFormat::ChannelsLast);
  MustForNumbers(dy.scalar_type(), vectors, [&]<typename N>() {
    Pointwise<N>::Multiply(dy, Grid(dy, 1), packed, {}, {}, /*relu=*/false, dx, Grid(dx, stride));
  });
  return dx;
}

}  // namespace finetune
