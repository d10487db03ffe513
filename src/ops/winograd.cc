// 3x3 convolutions of stride 1 and padding 1, and their gradients, with fewer multiplications.
//
// Method: Winograd's minimal filtering F(m x m, 3 x 3), as Lavin and Gray 2015, "Fast Algorithms
// for Convolutional Neural Networks", apply it. The result is cut into tiles of m x m pixels: m is
// 4 for float32 and 2 for bfloat16. A tile needs (m + 2)^2 input pixels d. These are transformed to
// V = B^T d B, and a kernel g to U = G g G^T. At each of the (m + 2)^2 positions of a tile, the
// products of U and V are summed over the input channels; M holds the sums. The results are A^T M
// A. So each position is one product of matrices, [tiles, C] x [C, K]. The gradient of the input is
// the same convolution with the kernels turned by 180 degrees and K and C exchanged. The gradient
// of the weight is G^T S G, where S sums (A dy A^T) V over all tiles, position by position.
//
// Memory: maps are [N, H, W, C] (channels-last). A factor of a product holds units, which
// panel_product.h defines; a panel is kColumns columns of its right factor.
//   inputs V of a block of tiles  [positions, tiles, C]
//   transformed weights U         [panels of K, positions, C / kPerUnit, kColumns]
//   products M of a block         [positions, tiles, kColumns]
//   weight gradients: V and A dy A^T as [positions, panels, steps, kColumns], a step is a unit of
//   tiles; their sums [positions, K, C]
// Spread() is the distance between two positions, except in the products, which have no gaps.
//
// Invariants: K and C are multiples of kColumns. One thread transforms a block of tiles, multiplies
// it and writes its results, and no other thread writes these. Padding pixels read as 0. A tile
// that reaches over the map's edge writes the pixels inside. Sums are float32.
//
// Reference: at::conv2d in float64, by conv_test.cc. winograd_transforms.h has the matrices.
#include "src/ops/winograd.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <optional>
#include <type_traits>

#include "src/ops/panel_product.h"
#include "src/ops/shares.h"
#include "src/ops/winograd_transforms.h"

namespace finetune {
namespace {

// The number of tiles that a thread transforms and multiplies at a time. They are so many that each
// transformed weight is used often once it is loaded, and so few that they stay in the cache.
constexpr int64_t kBlockTiles = 11 * kTileRows;
// A feature map [N, H, W, C] in memory, cut into tiles of `out` x `out` pixels. The last tiles of a
// row or column may reach over the map's edge. `down`, `across`: the tiles in a column and a row of
// one image. `count`: the tiles of all images.
struct Tiles {
  Tiles(const at::Tensor& map, int64_t out_size)
      : out(out_size),
        height(map.size(2)),
        width(map.size(3)),
        channels(map.size(1)),
        down((height + out - 1) / out),
        across((width + out - 1) / out),
        count(map.size(0) * down * across) {}

  int64_t out, height, width, channels;
  int64_t down, across, count;
};

// Returns the distance from the values of one position to those of the next, where a position has
// `units` values. The gap of 80 avoids a distance of a power of 2, for which the same value of all
// positions would fall into the same set of a cache.
constexpr int64_t Spread(int64_t units) { return units + 80; }

// Items [begin, end).
struct Range {
  int64_t begin, end;
  int64_t count() const { return end - begin; }
};

// The kSize x kSize pixels of a map that a tile needs. They begin `before` pixels above and to the
// left of the tile. Pixels outside the map are 0, and so are all pixels of a tile number that is
// past the last tile.
template <typename N, int64_t kSize>
class Window {
 public:
  using Storage = typename N::Storage;

  FT_INLINE Window(const Storage* map, const Tiles& tiles, int64_t tile, int64_t before) {
    const int64_t row = tile / tiles.across, image = row / tiles.down;
    const int64_t y = row % tiles.down * tiles.out - before;
    const int64_t x = tile % tiles.across * tiles.out - before;
    const Storage* corner = map + ((image * tiles.height + y) * tiles.width + x) * tiles.channels;
    for (int64_t i = 0; i < kSize; ++i) {
      for (int64_t j = 0; j < kSize; ++j) {
        const bool inside = tile < tiles.count && y + i >= 0 && y + i < tiles.height &&
                            x + j >= 0 && x + j < tiles.width;
        pixels_[i * kSize + j] = inside ? corner + (i * tiles.width + j) * tiles.channels : zeros_;
        // Padding pixels all read offset 0 of zeros_.
        channels_[i * kSize + j] = inside ? ~int64_t{0} : 0;
      }
    }
  }

  // Reads channels [c, c + kLanes) of every pixel: to[i] gets those of pixel i.
  FT_INLINE void Read(int64_t c, typename N::Floats* to) const {
    Unrolled<kSize * kSize>([&](int64_t i) __attribute__((always_inline)) {
      N::Load(pixels_[i] + (c & channels_[i]), to[i]);
    });
  }

 private:
  const Storage* pixels_[kSize * kSize];
  int64_t channels_[kSize * kSize];
  Storage zeros_[N::kLanes] = {};
};

at::Tensor ChannelsLast(const at::Tensor& x) {
  return x.contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor EmptyMap(const at::Tensor& like, int64_t channels) {
  return at::empty({like.size(0), channels, like.size(2), like.size(3)}, like.options(),
                   at::MemoryFormat::ChannelsLast);
}

// Returns uninitialised memory for units.
at::Tensor EmptyUnits(at::IntArrayRef sizes) { return at::empty(sizes, at::kInt); }
uint32_t* Units(const at::Tensor& units) {
  return static_cast<uint32_t*>(units.mutable_data_ptr());
}

// The algorithm for numbers N (vectors.h) and tiles F (winograd_transforms.h). A position is one of
// the multiplications of a tile. For each position there is one matrix product.
template <typename N, typename F>
class Winograd {
  using Floats = typename N::Floats;
  using Bits = typename N::Bits;
  using Storage = typename N::Storage;
  static constexpr int64_t kLanes = N::kLanes, kPerUnit = N::kPerUnit;
  static constexpr int64_t kColumns = kPanel<N>;
  static constexpr int64_t kPositions = F::kIn * F::kIn;

  // Transforms the kernels of one panel. weight: [K, 3, 3, C] in memory. Writes `units` [positions,
  // C / kPerUnit, kColumns]: for each position a panel whose columns are kColumns kernels and whose
  // steps are units of C.
  static FT_INLINE void TransformForward(const float* weight, int64_t channels, int64_t panel,
                                         uint32_t* units) {
    const int64_t stride = Spread(channels / kPerUnit * kColumns);
    for (int64_t k = 0; k < kColumns; k += kLanes) {
      for (int64_t c = 0; c < channels; c += kLanes) {
        Floats lanes[kPositions][kLanes];
        for (int64_t i = 0; i < kLanes; ++i) {
          const float* kernel = weight + (panel * kColumns + k + i) * 9 * channels + c;
          Floats g[9], u[kPositions];
          for (int64_t j = 0; j < 9; ++j) std::memcpy(&g[j], kernel + j * channels, sizeof(g[j]));
          Transform2d<typename F::Weight>(g, u);
          for (int64_t p = 0; p < kPositions; ++p) lanes[p][i] = u[p];
        }
        for (int64_t p = 0; p < kPositions; ++p) {
          StoreTransposed<N>(lanes[p], units + p * stride + c / kPerUnit * kColumns + k);
        }
      }
    }
  }

  // Does the same for the gradient of the input. The kernels are turned by 180 degrees, the columns
  // of a panel are kColumns channels, and the steps are units of K. `units`: [positions, K /
  // kPerUnit, kColumns].
  static FT_INLINE void TransformBackward(const float* weight, int64_t kernels, int64_t channels,
                                          int64_t panel, uint32_t* units) {
    const int64_t steps = kernels / kPerUnit, stride = Spread(steps * kColumns);
    for (int64_t s = 0; s < steps; ++s) {
      for (int64_t c = 0; c < kColumns; c += kLanes) {
        Floats lanes[kPositions * kPerUnit];
        for (int64_t i = 0; i < kPerUnit; ++i) {
          const float* kernel = weight + (s * kPerUnit + i) * 9 * channels + panel * kColumns + c;
          Floats g[9], u[kPositions];
          Unrolled<9>([&](int64_t j) __attribute__((always_inline)) {
            std::memcpy(&g[8 - j], kernel + j * channels, sizeof(g[j]));
          });
          Transform2d<typename F::Weight>(g, u);
          Unrolled<kPositions>([&](int64_t p) __attribute__((always_inline)) {
            lanes[p * kPerUnit + i] = u[p];
          });
        }
        Unrolled<kPositions>([&](int64_t p) __attribute__((always_inline)) {
          Bits unit;
          N::ToUnits(&lanes[p * kPerUnit], unit);
          std::memcpy(units + p * stride + s * kColumns + c, &unit, sizeof(unit));
        });
      }
    }
  }

  // The operands and the result of one convolution.
  struct Convolution {
    const Storage* map;
    const uint32_t* weight;  // [panels, positions, steps, kColumns]
    const float* bias;       // [K], or null for none
    const Storage* residual;
    bool relu;
    Storage* result;
    int64_t channels, panels;
  };

  // Transforms the input pixels of the tiles in `block`. `inputs`: [positions, rows, channels];
  // each row is one tile.
  static FT_INLINE void TransformInputs(const Convolution& conv, const Tiles& tiles, Range block,
                                        int64_t rows, Storage* inputs) {
    const int64_t stride = Spread(rows * conv.channels / kPerUnit) * kPerUnit;
    for (int64_t tile = block.begin; tile < block.end; ++tile) {
      const Window<N, F::kIn> window(conv.map, tiles, tile, /*before=*/1);
      Storage* to = inputs + (tile - block.begin) * conv.channels;
      for (int64_t c = 0; c < conv.channels; c += kLanes) {
        Floats in[kPositions], v[kPositions];
        window.Read(c, in);
        Transform2d<typename F::Input>(in, v);
        Unrolled<kPositions>([&](int64_t p) __attribute__((always_inline)) {
          N::Store(v[p], to + p * stride + c);
        });
      }
    }
  }

  // Computes the results of the tiles in `block` for the channels of one panel and writes them.
  // `products`: [positions, rows, kColumns]; each row is one tile.
  static FT_INLINE void TransformOutputs(const Convolution& conv, const Tiles& tiles, Range block,
                                         int64_t rows, int64_t panel, const float* products) {
    const int64_t channels = conv.panels * kColumns;
    for (int64_t tile = block.begin; tile < block.end; ++tile) {
      const int64_t row = tile / tiles.across, image = row / tiles.down;
      const int64_t y = row % tiles.down * F::kOut, x = tile % tiles.across * F::kOut;
      const int64_t down = std::min(F::kOut, tiles.height - y);
      const int64_t across = std::min(F::kOut, tiles.width - x);
      const int64_t place = ((image * tiles.height + y) * tiles.width + x) * channels;
      for (int64_t c = 0; c < kColumns; c += kLanes) {
        Floats m[kPositions], results[F::kOut * F::kOut], bias = {};
        Unrolled<kPositions>([&](int64_t p) __attribute__((always_inline)) {
          std::memcpy(&m[p], products + (p * rows + tile - block.begin) * kColumns + c,
                      sizeof(m[p]));
        });
        Transform2d<typename F::Output>(m, results);
        const int64_t channel = panel * kColumns + c;
        if (conv.bias != nullptr) std::memcpy(&bias, conv.bias + channel, sizeof(bias));
        Unrolled<F::kOut * F::kOut>([&](int64_t i) __attribute__((always_inline)) {
          if (i / F::kOut >= down || i % F::kOut >= across) return;
          const int64_t at = place + (i / F::kOut * tiles.width + i % F::kOut) * channels + channel;
          Floats value = results[i] + bias;
          if (conv.residual != nullptr) {
            Floats add;
            N::Load(conv.residual + at, add);
            value += add;
          }
          // Keeps NaN, as every activation must.
          if (conv.relu) value = value < 0 ? Floats{} : value;
          N::Store(value, conv.result + at);
        });
      }
    }
  }

  // Computes the results of the tiles in `block`. `inputs` and `products`: the thread's memory for
  // the transformed pixels and the products of `rows` tiles.
  static FT_INLINE void ConvolveBlock(const Convolution& conv, const Tiles& tiles, Range block,
                                      int64_t rows, uint32_t* inputs, float* products) {
    TransformInputs(conv, tiles, block, rows, reinterpret_cast<Storage*>(inputs));
    const int64_t steps = conv.channels / kPerUnit;
    // A product has whole groups of kTileRows rows. The rows after the block's last tile hold
    // arbitrary numbers, and nothing reads their products.
    const int64_t used = (block.count() + kTileRows - 1) / kTileRows * kTileRows;
    for (int64_t panel = 0; panel < conv.panels; ++panel) {
      for (int64_t p = 0; p < kPositions; ++p) {
        MultiplyPanel<N>({inputs + p * Spread(rows * steps), steps, 1}, used,
                         conv.weight + (panel * kPositions + p) * Spread(steps * kColumns), steps,
                         /*add=*/false, products + p * rows * kColumns, kColumns);
      }
      TransformOutputs(conv, tiles, block, rows, panel, products);
    }
  }

  // Transforms the tiles in `range` of a map by T, for the gradient of the weight. Writes `units`
  // [positions, channels / kColumns, steps, kColumns]: panels whose columns are channels and whose
  // steps are units of tiles. The first tile of `range` goes to step `step`.
  template <typename T>
  static FT_INLINE void TransformTiles(const Storage* map, const Tiles& tiles, Range range,
                                       int64_t before, int64_t step, int64_t steps,
                                       uint32_t* units) {
    const int64_t stride = Spread(tiles.channels * steps);
    for (int64_t tile = range.begin; tile < range.end; tile += kPerUnit, ++step) {
      const Window<N, T::kFrom> first(map, tiles, tile, before);
      const Window<N, T::kFrom> last(map, tiles, tile + kPerUnit - 1, before);
      for (int64_t c = 0; c < tiles.channels; c += kLanes) {
        Floats v[kPositions * kPerUnit];
        const auto transform = [&](const Window<N, T::kFrom>& window, int64_t i)
            __attribute__((always_inline)) {
          Floats in[T::kFrom * T::kFrom], out[kPositions];
          window.Read(c, in);
          Transform2d<T>(in, out);
          Unrolled<kPositions>([&](int64_t p) __attribute__((always_inline)) {
            v[p * kPerUnit + i] = out[p];
          });
        };
        transform(first, 0);
        if constexpr (kPerUnit > 1) transform(last, 1);
        uint32_t* to = units + (c / kColumns * steps + step) * kColumns + c % kColumns;
        Unrolled<kPositions>([&](int64_t p) __attribute__((always_inline)) {
          Bits unit;
          N::ToUnits(&v[p * kPerUnit], unit);
          std::memcpy(to + p * stride, &unit, sizeof(unit));
        });
      }
    }
  }

  // Transforms the sums of the kernels in `range` to their gradient. `sums`: [positions, K, C];
  // `gradient`: [K, 3, 3, C].
  static FT_INLINE void TransformSums(const float* sums, int64_t kernels, int64_t channels,
                                      Range range, float* gradient) {
    const int64_t stride = Spread(kernels * channels);
    for (int64_t k = range.begin; k < range.end; ++k) {
      for (int64_t c = 0; c < channels; c += kLanes) {
        Floats g[9], u[kPositions];
        for (int64_t p = 0; p < kPositions; ++p) {
          std::memcpy(&u[p], sums + p * stride + k * channels + c, sizeof(u[p]));
        }
        Transform2d<typename F::WeightGradient>(u, g);
        for (int64_t j = 0; j < 9; ++j) {
          std::memcpy(gradient + (k * 9 + j) * channels + c, &g[j], sizeof(g[j]));
        }
      }
    }
  }

 public:
  static constexpr int64_t kOut = F::kOut;
  // Both numbers of channels of a weight must be multiples of this.
  static constexpr int64_t kChannels = kColumns;

  static at::Tensor TransformWeight(const at::Tensor& weight, bool backward) {
    const int64_t kernels = weight.size(0), channels = weight.size(1);
    const int64_t columns = backward ? channels : kernels;
    const int64_t steps = (backward ? kernels : channels) / kPerUnit, panels = columns / kColumns;
    at::Tensor result = EmptyUnits({panels, kPositions, Spread(steps * kColumns)});
    const int64_t size = result.stride(0);
    const auto* from = weight.const_data_ptr<float>();
    uint32_t* to = Units(result);
    at::parallel_for(0, panels, 1, [=](int64_t begin, int64_t end) {
      N::Run([=]() __attribute__((always_inline)) {
        for (int64_t panel = begin; panel < end; ++panel) {
          if (backward) {
            TransformBackward(from, kernels, channels, panel, to + panel * size);
          } else {
            TransformForward(from, channels, panel, to + panel * size);
          }
        }
      });
    });
    return result;
  }

  static void Convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                       const at::Tensor& residual, bool relu, const at::Tensor& y) {
    const Convolution conv{.map = static_cast<const Storage*>(x.const_data_ptr()),
                           .weight = static_cast<const uint32_t*>(weight.const_data_ptr()),
                           .bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr,
                           .residual = residual.defined()
                                           ? static_cast<const Storage*>(residual.const_data_ptr())
                                           : nullptr,
                           .relu = relu,
                           .result = static_cast<Storage*>(y.mutable_data_ptr()),
                           .channels = x.size(1),
                           .panels = weight.size(0)};
    const Tiles tiles(x, F::kOut);
    if (tiles.count == 0) return;
    const int64_t groups = (tiles.count + kTileRows - 1) / kTileRows;
    // Cuts each thread's share into blocks of about equal size. Shares are counted in groups of
    // kTileRows tiles.
    const int64_t share = (groups + at::get_num_threads() - 1) / at::get_num_threads();
    const int64_t blocks = (share * kTileRows + kBlockTiles - 1) / kBlockTiles;
    const int64_t most = (share + blocks - 1) / blocks, rows = most * kTileRows;
    ForShares(groups, 1, [&](const auto& take) {
      const at::Tensor inputs = EmptyUnits({kPositions * Spread(rows * conv.channels / kPerUnit)});
      const at::Tensor products = EmptyUnits({kPositions * rows * kColumns});
      uint32_t* in = Units(inputs);
      auto* out = static_cast<float*>(products.mutable_data_ptr());
      N::Run([&]() __attribute__((always_inline)) {
        while (const std::optional<Shares::Range> block = take(most)) {
          const Range range{block->begin * kTileRows,
                            std::min(block->end * kTileRows, tiles.count)};
          ConvolveBlock(conv, tiles, range, rows, in, out);
        }
      });
    });
  }

  static void WeightGradient(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& dw) {
    const Tiles from(x, F::kOut), to(dy, F::kOut);
    const int64_t channels = from.channels, kernels = to.channels;
    const int64_t panels = channels / kColumns, kernel_panels = kernels / kColumns;
    const auto* map = static_cast<const Storage*>(x.const_data_ptr());
    const auto* slope = static_cast<const Storage*>(dy.const_data_ptr());
    auto* gradient = dw.mutable_data_ptr<float>();
    const at::Tensor all_sums = at::empty({kPositions * Spread(kernels * channels)}, at::kFloat);
    auto* sums = all_sums.mutable_data_ptr<float>();

    const Chunks chunks((from.count + kPerUnit - 1) / kPerUnit, kPositions * (channels + kernels),
                        /*least=*/64);
    const int64_t size = chunks.size;
    const at::Tensor inputs = EmptyUnits({kPositions * Spread(size * channels)});
    const at::Tensor slopes = EmptyUnits({kPositions * Spread(size * kernels)});
    uint32_t *in = Units(inputs), *slope_in = Units(slopes);
    for (int64_t first = 0; first < chunks.steps; first += size) {
      const int64_t steps = std::min(size, chunks.steps - first);
      at::parallel_for(0, steps, 1, [&](int64_t begin, int64_t end) {
        const Range range{(first + begin) * kPerUnit,
                          std::min((first + end) * kPerUnit, from.count)};
        N::Run([&]() __attribute__((always_inline)) {
          TransformTiles<typename F::Input>(map, from, range, /*before=*/1, begin, steps, in);
          TransformTiles<typename F::OutputGradient>(slope, to, range, /*before=*/0, begin, steps,
                                                     slope_in);
        });
      });
      // Each product gives the sums of kColumns kernels and kColumns channels at one position: a
      // panel of the transformed dy, transposed, times a panel of the transformed x.
      ForShares(kPositions * kernel_panels * panels, 1, [&](const auto& take) {
        N::Run([&]() __attribute__((always_inline)) {
          while (const std::optional<Shares::Range> square = take(1)) {
            const int64_t i = square->begin;
            const int64_t panel = i % panels, kernel_panel = i / panels % kernel_panels;
            const int64_t p = i / panels / kernel_panels;
            MultiplyPanel<N>(
                {slope_in + p * Spread(kernels * steps) + kernel_panel * steps * kColumns, 1,
                 kColumns},
                kColumns, in + p * Spread(channels * steps) + panel * steps * kColumns, steps,
                /*add=*/first > 0,
                sums + p * Spread(kernels * channels) + kernel_panel * kColumns * channels +
                    panel * kColumns,
                channels);
          }
        });
      });
    }
    at::parallel_for(0, kernels, 1, [&](int64_t begin, int64_t end) {
      N::Run([&]() __attribute__((always_inline)) {
        TransformSums(sums, kernels, channels, {begin, end}, gradient);
      });
    });
  }
};

template <typename N>
using WinogradOf =
    Winograd<N, std::conditional_t<std::is_same_v<typename N::Storage, float>, TilesOf4, TilesOf2>>;

WinogradWeight Transform(const at::Tensor& weight, at::ScalarType type, bool backward,
                         Vectors vectors) {
  WinogradWeight result;
  MustForNumbers(type, vectors, [&]<typename N>() {
    using W = WinogradOf<N>;
    result.units = W::TransformWeight(ChannelsLast(weight), backward);
  });
  return result;
}

}  // namespace

bool WinogradRuns(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding,
                  Vectors vectors) {
  bool fits = false;
  ForNumbers(x.scalar_type(), vectors, [&]<typename N>() {
    using W = WinogradOf<N>;
    // With few channels the transforms cost more than the products save.
    const auto good = [](int64_t channels) {
      return channels % W::kChannels == 0 && channels >= 32;
    };
    fits = good(weight.size(0)) && good(weight.size(1));
  });
  return fits && x.is_cpu() && weight.size(2) == 3 && weight.size(3) == 3 && stride == 1 &&
         padding == 1 && x.numel() > 0;
}

int64_t WinogradTiles(const at::Tensor& x) {
  return Tiles(x, x.scalar_type() == at::kBFloat16 ? TilesOf2::kOut : TilesOf4::kOut).count;
}

WinogradWeight TransformWeight(const at::Tensor& weight, at::ScalarType type, Vectors vectors) {
  return Transform(weight, type, /*backward=*/false, vectors);
}

at::Tensor WinogradConv(const at::Tensor& input, const WinogradWeight& weight,
                        const at::Tensor& bias, const at::Tensor& residual, bool relu,
                        Vectors vectors) {
  const at::Tensor x = ChannelsLast(input);
  at::Tensor y;
  MustForNumbers(x.scalar_type(), vectors, [&]<typename N>() {
    using W = WinogradOf<N>;
    y = EmptyMap(x, weight.units.size(0) * W::kChannels);
    W::Convolve(x, weight.units, bias, residual.defined() ? ChannelsLast(residual) : residual, relu,
                y);
  });
  return y;
}

at::Tensor WinogradInputGradient(const at::Tensor& dy, const at::Tensor& weight, Vectors vectors) {
  return WinogradConv(dy, Transform(weight, dy.scalar_type(), /*backward=*/true, vectors), {}, {},
                      /*relu=*/false, vectors);
}

at::Tensor WinogradWeightGradient(const at::Tensor& dy, const at::Tensor& x, Vectors vectors) {
  at::Tensor dw = at::empty({dy.size(1), x.size(1), 3, 3}, at::kFloat, std::nullopt, std::nullopt,
                            std::nullopt, at::MemoryFormat::ChannelsLast);
  MustForNumbers(x.scalar_type(), vectors, [&]<typename N>() {
    using W = WinogradOf<N>;
    W::WeightGradient(ChannelsLast(dy), ChannelsLast(x), dw);
  });
  return dw;
}

}  // namespace finetune
