#include "src/model/winograd.h"

#include <ATen/Parallel.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>

namespace finetune {
namespace {

constexpr int64_t kOut = 4;  // a tile's results, in each direction
constexpr int64_t kIn = 6;   // what they are made of
constexpr int64_t kPositions = kIn * kIn;
constexpr int64_t kLanes = 8;
// What a chunk of tiles or of kernels takes, transformed: it stays in the cache until it is used,
// and no more memory is wanted at once.
constexpr int64_t kChunkBytes = 10 << 20;

#define FT_VECTORISED __attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4")))
#define FT_INLINE inline __attribute__((always_inline))

// A few neighbouring channels.
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));

FT_INLINE void Load(const float* from, Lanes* to) { std::memcpy(to, from, sizeof(Lanes)); }
FT_INLINE void Store(const Lanes& from, float* to) { std::memcpy(to, &from, sizeof(Lanes)); }

// The points +-a and +-b, with a * b = 1.
constexpr float kA = 3.0F / 4, kB = 4.0F / 3;
constexpr float kA2 = kA * kA, kB2 = kB * kB, kA3 = kA2 * kA, kB3 = kB2 * kB;
// The kernel's polynomial is divided by the product of a point's distances to the others.
constexpr float kByA = 1 / (2 * kA2 * (kA2 - kB2)), kByB = 1 / (2 * kB2 * (kB2 - kA2));

// The transforms of one row or column. Each is the product with a matrix of the paper, written out.

// B^T: 6 inputs.
struct Input {
  static constexpr int64_t kFrom = kIn, kTo = kIn;
  static FT_INLINE void Apply(const Lanes* d, int64_t s, Lanes* v, int64_t t) {
    const Lanes even_a = d[4 * s] - kB2 * d[2 * s], odd_a = kA * d[3 * s] - kB * d[s];
    const Lanes even_b = d[4 * s] - kA2 * d[2 * s], odd_b = kB * d[3 * s] - kA * d[s];
    v[0] = d[0] - (kA2 + kB2) * d[2 * s] + d[4 * s];
    v[t] = even_a + odd_a;
    v[2 * t] = even_a - odd_a;
    v[3 * t] = even_b + odd_b;
    v[4 * t] = even_b - odd_b;
    v[5 * t] = d[5 * s] - (kA2 + kB2) * d[3 * s] + d[s];
  }
};

// A^T: 4 results of 6 products.
struct Output {
  static constexpr int64_t kFrom = kIn, kTo = kOut;
  static FT_INLINE void Apply(const Lanes* m, int64_t s, Lanes* y, int64_t t) {
    const Lanes even_a = m[s] + m[2 * s], odd_a = m[s] - m[2 * s];
    const Lanes even_b = m[3 * s] + m[4 * s], odd_b = m[3 * s] - m[4 * s];
    y[0] = m[0] + even_a + even_b;
    y[t] = kA * odd_a + kB * odd_b;
    y[2 * t] = kA2 * even_a + kB2 * even_b;
    y[3 * t] = kA3 * odd_a + kB3 * odd_b + m[5 * s];
  }
};

// A: what 4 results' gradients give for 6 products.
struct OutputGradient {
  static constexpr int64_t kFrom = kOut, kTo = kIn;
  static FT_INLINE void Apply(const Lanes* y, int64_t s, Lanes* m, int64_t t) {
    const Lanes even_a = y[0] + kA2 * y[2 * s], odd_a = kA * y[s] + kA3 * y[3 * s];
    const Lanes even_b = y[0] + kB2 * y[2 * s], odd_b = kB * y[s] + kB3 * y[3 * s];
    m[0] = y[0];
    m[t] = even_a + odd_a;
    m[2 * t] = even_a - odd_a;
    m[3 * t] = even_b + odd_b;
    m[4 * t] = even_b - odd_b;
    m[5 * t] = y[3 * s];
  }
};

// G: a kernel's 3 values.
struct Weight {
  static constexpr int64_t kFrom = 3, kTo = kIn;
  static FT_INLINE void Apply(const Lanes* g, int64_t s, Lanes* u, int64_t t) {
    const Lanes even_a = kByA * (g[0] + kA2 * g[2 * s]), odd_a = (kByA * kA) * g[s];
    const Lanes even_b = kByB * (g[0] + kB2 * g[2 * s]), odd_b = (kByB * kB) * g[s];
    u[0] = g[0];
    u[t] = even_a + odd_a;
    u[2 * t] = even_a - odd_a;
    u[3 * t] = even_b + odd_b;
    u[4 * t] = even_b - odd_b;
    u[5 * t] = g[2 * s];
  }
};

// G^T: a kernel's gradient.
struct WeightGradient {
  static constexpr int64_t kFrom = kIn, kTo = 3;
  static FT_INLINE void Apply(const Lanes* u, int64_t s, Lanes* g, int64_t t) {
    const Lanes even_a = kByA * (u[s] + u[2 * s]), odd_a = (kByA * kA) * (u[s] - u[2 * s]);
    const Lanes even_b = kByB * (u[3 * s] + u[4 * s]), odd_b = (kByB * kB) * (u[3 * s] - u[4 * s]);
    g[0] = u[0] + even_a + even_b;
    g[t] = odd_a + odd_b;
    g[2 * t] = kA2 * even_a + kB2 * even_b + u[5 * s];
  }
};

// Rows, then columns: `in` [kFrom, kFrom], `out` [kTo, kTo].
template <typename T>
FT_INLINE void Apply2d(const Lanes* in, Lanes* out) {
  Lanes rows[T::kFrom * T::kTo];
  for (int64_t i = 0; i < T::kFrom; ++i) T::Apply(in + i * T::kFrom, 1, rows + i * T::kTo, 1);
  for (int64_t j = 0; j < T::kTo; ++j) T::Apply(rows + j, T::kTo, out + j, T::kTo);
}

// A feature map [N, H, W, C] in memory, cut into tiles of 4x4 results; the last ones reach over the
// edge.
struct Tiles {
  explicit Tiles(const at::Tensor& map)
      : height(map.size(2)),
        width(map.size(3)),
        channels(map.size(1)),
        down((height + kOut - 1) / kOut),
        across((width + kOut - 1) / kOut),
        count(map.size(0) * down * across) {}

  int64_t height, width, channels;
  int64_t down, across, count;
};

// Where a tile begins.
struct Place {
  int64_t picture, y, x;
};
FT_INLINE Place PlaceOf(const Tiles& tiles, int64_t tile) {
  const int64_t row = tile / tiles.across;
  return {row / tiles.down, row % tiles.down * kOut, tile % tiles.across * kOut};
}

// Some of many, [begin, begin + count).
struct Range {
  int64_t begin, count;
  int64_t end() const { return begin + count; }
};

// Tiles [begin, end) of those in `chunk`, into their places of `transformed`, [36, chunk.count,
// slice.count]; the channels in `slice`. kBefore: pixels that a tile has before its place. Outside
// of the map is 0.
template <typename T, int64_t kBefore>
FT_INLINE void TransformTiles(const float* map, const Tiles& tiles, Range chunk, Range slice,
                              int64_t begin, int64_t end, float* transformed) {
  constexpr int64_t kSize = T::kFrom;
  const int64_t channels = tiles.channels;
  for (int64_t tile = begin; tile < end; ++tile) {
    const Place at = PlaceOf(tiles, chunk.begin + tile);
    const float* picture = map + at.picture * tiles.height * tiles.width * channels + slice.begin;
    const int64_t y = at.y - kBefore, x = at.x - kBefore;
    const int64_t from_y = std::max<int64_t>(0, -y), to_y = std::min(kSize, tiles.height - y);
    const int64_t from_x = std::max<int64_t>(0, -x), to_x = std::min(kSize, tiles.width - x);
    const bool inside = to_y - from_y == kSize && to_x - from_x == kSize;
    float* out = transformed + tile * slice.count;
    for (int64_t c = 0; c < slice.count; c += kLanes) {
      Lanes in[kSize * kSize], result[kPositions];
      if (!inside) std::memset(in, 0, sizeof(in));
      for (int64_t i = from_y; i < to_y; ++i) {
        const float* row = picture + ((y + i) * tiles.width + x) * channels + c;
        for (int64_t j = from_x; j < to_x; ++j) Load(row + j * channels, &in[i * kSize + j]);
      }
      Apply2d<T>(in, result);
      for (int64_t p = 0; p < kPositions; ++p) {
        Store(result[p], out + p * chunk.count * slice.count + c);
      }
    }
  }
}

FT_VECTORISED void TransformInput(const float* map, const Tiles& tiles, Range chunk, Range slice,
                                  int64_t begin, int64_t end, float* transformed) {
  TransformTiles<Input, 1>(map, tiles, chunk, slice, begin, end, transformed);
}

FT_VECTORISED void TransformOutputGradient(const float* map, const Tiles& tiles, Range chunk,
                                           Range slice, int64_t begin, int64_t end,
                                           float* transformed) {
  TransformTiles<OutputGradient, 0>(map, tiles, chunk, slice, begin, end, transformed);
}

// The way back: `products` [36, chunk.count, slice.count] into the tiles of `map`.
FT_VECTORISED void TransformOutput(const float* products, const Tiles& tiles, Range chunk,
                                   Range slice, int64_t begin, int64_t end, const float* bias,
                                   const float* residual, bool relu, float* map) {
  const int64_t channels = tiles.channels;
  for (int64_t tile = begin; tile < end; ++tile) {
    const Place at = PlaceOf(tiles, chunk.begin + tile);
    const int64_t rows = std::min(kOut, tiles.height - at.y);
    const int64_t columns = std::min(kOut, tiles.width - at.x);
    const float* in = products + tile * slice.count;
    for (int64_t c = 0; c < slice.count; c += kLanes) {
      Lanes m[kPositions], y[kOut * kOut], b = {};
      for (int64_t p = 0; p < kPositions; ++p) Load(in + p * chunk.count * slice.count + c, &m[p]);
      Apply2d<Output>(m, y);
      if (bias != nullptr) Load(bias + slice.begin + c, &b);
      for (int64_t i = 0; i < rows; ++i) {
        const int64_t row =
            ((at.picture * tiles.height + at.y + i) * tiles.width + at.x) * channels + slice.begin +
            c;
        for (int64_t j = 0; j < columns; ++j) {
          Lanes value = y[i * kOut + j] + b;
          if (residual != nullptr) {
            Lanes add;
            Load(residual + row + j * channels, &add);
            value += add;
          }
          // A NaN passes, as in every other activation.
          if (relu) value = value < 0 ? Lanes{} : value;
          Store(value, map + row + j * channels);
        }
      }
    }
  }
}

// Of weight [K, 3, 3, channels] in memory, kernels [begin, end) of `kernels` and the channels in
// `slice`; `transformed`: [36, kernels.count, slice.count]. `turned`: by 180 degrees, as the
// gradient of the input wants them.
FT_VECTORISED void TransformKernels(const float* weight, int64_t channels, Range kernels,
                                    Range slice, int64_t begin, int64_t end, bool turned,
                                    float* transformed) {
  for (int64_t k = begin; k < end; ++k) {
    const float* kernel = weight + (kernels.begin + k) * 9 * channels + slice.begin;
    for (int64_t c = 0; c < slice.count; c += kLanes) {
      Lanes g[9], u[kPositions];
      for (int64_t i = 0; i < 9; ++i) Load(kernel + i * channels + c, &g[turned ? 8 - i : i]);
      Apply2d<Weight>(g, u);
      for (int64_t p = 0; p < kPositions; ++p) {
        Store(u[p], transformed + (p * kernels.count + k) * slice.count + c);
      }
    }
  }
}

// transformed: [36, count, channels], gradient: [count, 3, 3, channels]; kernels [begin, end).
FT_VECTORISED void TransformKernelGradients(const float* transformed, int64_t count,
                                            int64_t channels, int64_t begin, int64_t end,
                                            float* gradient) {
  for (int64_t k = begin; k < end; ++k) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      Lanes g[9], u[kPositions];
      for (int64_t p = 0; p < kPositions; ++p) {
        Load(transformed + (p * count + k) * channels + c, &u[p]);
      }
      Apply2d<WeightGradient>(u, g);
      for (int64_t i = 0; i < 9; ++i) Store(g[i], gradient + (k * 9 + i) * channels + c);
    }
  }
}

at::Tensor ChannelsLast(const at::Tensor& x) {
  return x.contiguous(at::MemoryFormat::ChannelsLast);
}

// weight: [K, C, 3, 3] channels-last. Returns [36, kernels.count, slice.count].
at::Tensor Transform(const at::Tensor& weight, Range kernels, Range slice, bool turned) {
  at::Tensor result = at::empty({kPositions, kernels.count, slice.count}, weight.options());
  const int64_t channels = weight.size(1);
  const float* from = weight.const_data_ptr<float>();
  auto* to = result.mutable_data_ptr<float>();
  at::parallel_for(0, kernels.count, 1, [=](int64_t begin, int64_t end) {
    TransformKernels(from, channels, kernels, slice, begin, end, turned, to);
  });
  return result;
}

// Calls work(Range) for parts of `count`, about equal, multiples of `unit` but for the last, of as
// many as kChunkBytes holds where each takes `floats`; of 64 at least.
template <typename Work>
void ForParts(int64_t count, int64_t unit, int64_t floats, const Work& work) {
  if (count == 0) return;
  const int64_t bytes = floats * static_cast<int64_t>(sizeof(float));
  const int64_t most = std::max<int64_t>(64, kChunkBytes / bytes);
  const int64_t parts = (count + most - 1) / most;
  const int64_t size = ((count + parts - 1) / parts + unit - 1) / unit * unit;
  for (int64_t begin = 0; begin < count; begin += size) {
    work(Range{begin, std::min(size, count - begin)});
  }
}

// Convolves x with the kernels of `slice`, [36, C, slice.count] in any strides, into those channels
// of y.
void ConvolveSlice(const at::Tensor& x, const at::Tensor& kernels, Range slice,
                   const at::Tensor& bias, const at::Tensor& residual, bool relu, at::Tensor& y) {
  const Tiles from(x), to(y);
  const float* map = x.const_data_ptr<float>();
  const float* b = bias.defined() ? bias.const_data_ptr<float>() : nullptr;
  const float* add = residual.defined() ? residual.const_data_ptr<float>() : nullptr;
  auto* result = y.mutable_data_ptr<float>();
  const Range all{0, from.channels};
  ForParts(from.count, 1, kPositions * (from.channels + slice.count), [&](Range chunk) {
    const at::Tensor inputs = at::empty({kPositions, chunk.count, all.count}, x.options());
    auto* transformed = inputs.mutable_data_ptr<float>();
    at::parallel_for(0, chunk.count, 1, [&](int64_t begin, int64_t end) {
      TransformInput(map, from, chunk, all, begin, end, transformed);
    });
    const at::Tensor products = at::bmm(inputs, kernels);
    const float* product = products.const_data_ptr<float>();
    at::parallel_for(0, chunk.count, 1, [&](int64_t begin, int64_t end) {
      TransformOutput(product, to, chunk, slice, begin, end, b, add, relu, result);
    });
  });
}

at::Tensor EmptyMap(const at::Tensor& like, int64_t channels) {
  return at::empty({like.size(0), channels, like.size(2), like.size(3)}, like.options(),
                   at::MemoryFormat::ChannelsLast);
}

}  // namespace

bool WinogradRuns(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding) {
  // Where there are few channels the transforms cost more than the products.
  const auto fits = [](int64_t channels) { return channels % kLanes == 0 && channels >= 32; };
  return x.is_cpu() && x.scalar_type() == at::kFloat && weight.size(2) == 3 &&
         weight.size(3) == 3 && stride == 1 && padding == 1 && fits(weight.size(0)) &&
         fits(weight.size(1)) && x.numel() > 0;
}

int64_t WinogradTiles(const at::Tensor& x) { return Tiles(x).count; }

at::Tensor TransformWeight(const at::Tensor& weight) {
  return Transform(ChannelsLast(weight), {0, weight.size(0)}, {0, weight.size(1)},
                   /*turned=*/false);
}

at::Tensor WinogradConv(const at::Tensor& x, const at::Tensor& transformed, const at::Tensor& bias,
                        const at::Tensor& residual, bool relu) {
  at::Tensor y = EmptyMap(x, transformed.size(1));
  ConvolveSlice(ChannelsLast(x), transformed.transpose(1, 2), {0, transformed.size(1)}, bias,
                residual.defined() ? ChannelsLast(residual) : residual, relu, y);
  return y;
}

at::Tensor WinogradConv(const at::Tensor& input, const at::Tensor& weight) {
  const at::Tensor x = ChannelsLast(input), w = ChannelsLast(weight);
  at::Tensor y = EmptyMap(x, w.size(0));
  ForParts(w.size(0), kLanes, kPositions * w.size(1), [&](Range kernels) {
    const at::Tensor u = Transform(w, kernels, {0, w.size(1)}, /*turned=*/false);
    ConvolveSlice(x, u.transpose(1, 2), kernels, {}, {}, /*relu=*/false, y);
  });
  return y;
}

at::Tensor WinogradInputGradient(const at::Tensor& gradient, const at::Tensor& weight) {
  const at::Tensor dy = ChannelsLast(gradient), w = ChannelsLast(weight);
  at::Tensor dx = EmptyMap(dy, w.size(1));
  ForParts(w.size(1), kLanes, kPositions * w.size(0), [&](Range slice) {
    const at::Tensor u = Transform(w, {0, w.size(0)}, slice, /*turned=*/true);
    ConvolveSlice(dy, u, slice, {}, {}, /*relu=*/false, dx);
  });
  return dx;
}

at::Tensor WinogradWeightGradient(const at::Tensor& gradient, const at::Tensor& input) {
  const at::Tensor x = ChannelsLast(input), dy = ChannelsLast(gradient);
  const Tiles from(x), to(dy);
  const Range all{0, from.channels};
  const float* map = x.const_data_ptr<float>();
  const float* slope = dy.const_data_ptr<float>();
  at::Tensor dw =
      at::empty({to.channels, from.channels, 3, 3}, x.options(), at::MemoryFormat::ChannelsLast);
  auto* result = dw.mutable_data_ptr<float>();
  ForParts(to.channels, kLanes, kPositions * from.channels, [&](Range kernels) {
    at::Tensor sums = at::empty({kPositions, kernels.count, from.channels}, x.options());
    ForParts(from.count, 1, kPositions * (from.channels + kernels.count), [&](Range chunk) {
      const at::Tensor inputs = at::empty({kPositions, chunk.count, all.count}, x.options());
      const at::Tensor slopes = at::empty({kPositions, chunk.count, kernels.count}, x.options());
      auto* transformed = inputs.mutable_data_ptr<float>();
      auto* transformed_slopes = slopes.mutable_data_ptr<float>();
      at::parallel_for(0, chunk.count, 1, [&](int64_t begin, int64_t end) {
        TransformInput(map, from, chunk, all, begin, end, transformed);
        TransformOutputGradient(slope, to, chunk, kernels, begin, end, transformed_slopes);
      });
      at::baddbmm_out(sums, sums, slopes.transpose(1, 2), inputs,
                      /*beta=*/chunk.begin == 0 ? 0 : 1);
    });
    const float* sum = sums.const_data_ptr<float>();
    at::parallel_for(0, kernels.count, 1, [&](int64_t begin, int64_t end) {
      TransformKernelGradients(sum, kernels.count, from.channels, begin, end,
                               result + kernels.begin * 9 * from.channels);
    });
  });
  return dw;
}

}  // namespace finetune
