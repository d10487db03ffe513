// The passes over memory of batch norm, residual add and activation in training.
//
// Problem: the arithmetic is a few operations for each value, so most of the time goes into reading
// and writing feature maps. LibTorch's separate operators read or write a map about ten times.
//
// Method: two passes forward and two backward. Forward: the statistics; then scale, shift, residual
// and activation at once. Backward: the sums of g and g (x - mean), where g is the gradient of the
// activation's input; then dx = g a + x b + c, where a, b and c have one number for each channel
// (batch_norm.cc derives them). The slope of a ReLU follows from its result y: it is 1 where y is
// over 0. The slopes of SiLU and hard-swish need the activation's input, which is computed again
// from x. That costs arithmetic, but saves the memory and the pass to store the input.
//
// Memory: a map is a matrix [rows, C] of float32 or bfloat16; a row is a pixel (channels-last).
// Loops run over the channels of a row, which the compiler vectorises. Numbers for each channel are
// float32 [C].
//
// Invariants: the statistics sum differences from the first row, because the variance of values far
// from 0 would lose its digits to cancellation. Sums are float32 within kBlock rows and float64
// across blocks. Each thread sums a fixed part of the rows, so the same number of threads gives the
// same bits. Every function here turns NaN into NaN; the comparisons are written for that.
//
// Reference: LibTorch's batch norm in float64, by batch_norm_test.cc.
#include "src/ops/batch_norm_kernels.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "src/ops/activate.h"
#include "src/ops/map_numbers.h"

namespace finetune {
namespace {

// The number of rows that are summed in float32 before the sums are added to float64 sums.
constexpr int64_t kBlock = 256;
// The rows that the summing loops add in one step, so that a sum is loaded and stored once for
// several additions.
constexpr int64_t kUnroll = 8;
// The least number of elements for which another thread is used.
constexpr int64_t kGrain = 16384;

// One thread's rows [begin, end) of a [rows, channels] matrix.
struct Rows {
  int64_t begin, end, channels;
};

// sums[c] += sum of x - first, squares[c] += sum of (x - first)^2.
template <typename T>
FT_INLINE void AddMoments(const typename T::Storage* __restrict x, const float* __restrict first,
                          Rows rows, float* __restrict sums, float* __restrict squares) {
  const int64_t n = rows.channels;
  int64_t r = rows.begin;
  for (; r + kUnroll <= rows.end; r += kUnroll) {
    const auto* __restrict row = x + r * n;
    for (int64_t c = 0; c < n; ++c) {
      float sum = 0, square = 0;
      for (int64_t k = 0; k < kUnroll; ++k) {
        const float d = T::Load(row[k * n + c]) - first[c];
        sum += d;
        square += d * d;
      }
      sums[c] += sum;
      squares[c] += square;
    }
  }
  for (; r < rows.end; ++r) {
    for (int64_t c = 0; c < n; ++c) {
      const float d = T::Load(x[r * n + c]) - first[c];
      sums[c] += d;
      squares[c] += d * d;
    }
  }
}

template <typename T, bool kAdd, Activation kActivation>
FT_INLINE void Forward(const typename T::Storage* __restrict x,
                       const typename T::Storage* __restrict residual,
                       const float* __restrict scale, const float* __restrict shift, Rows rows,
                       typename T::Storage* __restrict y) {
  const int64_t n = rows.channels;
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    for (int64_t c = 0; c < n; ++c) {
      float v = T::Load(x[r * n + c]) * scale[c] + shift[c];
      if constexpr (kAdd) v += T::Load(residual[r * n + c]);
      // NaN is not less than 0 and stays NaN: it must reach the loss.
      Activate<kActivation, float, uint32_t>(v);
      y[r * n + c] = T::Store(v);
    }
  }
}

// The data of an ActivationBehind's tensors y, scale and shift; null for an undefined tensor.
template <typename T>
struct Behind {
  const typename T::Storage* __restrict y;
  const float* __restrict scale;
  const float* __restrict shift;
};

// Returns the gradient of the activation's input at element `at`, which belongs to channel `c`.
// `x`: the batch norm's input at this element.
template <typename T, Activation kActivation>
FT_INLINE float GradientAt(const typename T::Storage* __restrict dy, const Behind<T>& of, float x,
                           int64_t at, int64_t c) {
  const float slope = T::Load(dy[at]);
  if constexpr (kActivation == Activation::kNone) {
    return slope;
  } else if constexpr (SlopeFollowsFromResult(kActivation)) {
    return GradientBefore<kActivation>(slope, 0, T::Load(of.y[at]));
  } else {
    return GradientBefore<kActivation>(slope, x * of.scale[c] + of.shift[c], 0);
  }
}

// sums[c] += sum of g, products[c] += sum of g * (x - mean).
template <typename T, Activation kActivation, bool kWrite>
FT_INLINE void AddGradients(const typename T::Storage* __restrict dy, const Behind<T>& of,
                            const typename T::Storage* __restrict x, const float* __restrict mean,
                            Rows rows, typename T::Storage* __restrict write_g,
                            float* __restrict sums, float* __restrict products) {
  const int64_t n = rows.channels;
  int64_t r = rows.begin;
  // Where g is written, rows are handled one by one: with several at a time the compiler must
  // assume that writing one row of g changes the other rows, and does not vectorise.
  for (; !kWrite && r + kUnroll <= rows.end; r += kUnroll) {
    for (int64_t c = 0; c < n; ++c) {
      float sum = 0, product = 0;
      for (int64_t k = 0; k < kUnroll; ++k) {
        const int64_t at = (r + k) * n + c;
        const float in = T::Load(x[at]);
        const float g = GradientAt<T, kActivation>(dy, of, in, at, c);
        sum += g;
        product += g * (in - mean[c]);
      }
      sums[c] += sum;
      products[c] += product;
    }
  }
  for (; r < rows.end; ++r) {
    for (int64_t c = 0; c < n; ++c) {
      const int64_t at = r * n + c;
      const float in = T::Load(x[at]);
      const float g = GradientAt<T, kActivation>(dy, of, in, at, c);
      if constexpr (kWrite) write_g[at] = T::Store(g);
      sums[c] += g;
      products[c] += g * (in - mean[c]);
    }
  }
}

template <typename T, Activation kActivation>
FT_INLINE void Backward(const typename T::Storage* __restrict dy, const Behind<T>& of,
                        const typename T::Storage* __restrict x, const float* __restrict a,
                        const float* __restrict b, const float* __restrict c, Rows rows,
                        typename T::Storage* __restrict dx) {
  const int64_t n = rows.channels;
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = r * n + i;
      const float in = T::Load(x[at]);
      const float g = GradientAt<T, kActivation>(dy, of, in, at, i);
      dx[at] = T::Store(g * a[i] + in * b[i] + c[i]);
    }
  }
}

template <typename T>
const typename T::Storage* In(const void* data) {
  return static_cast<const typename T::Storage*>(data);
}
template <typename T>
typename T::Storage* Out(void* data) {
  return static_cast<typename T::Storage*>(data);
}

FT_VECTORISED void AddMomentsOf(bool bfloat16, const void* x, const float* first, Rows rows,
                                float* sums, float* squares) {
  if (bfloat16) {
    AddMoments<AsBfloat16>(In<AsBfloat16>(x), first, rows, sums, squares);
  } else {
    AddMoments<AsFloat32>(In<AsFloat32>(x), first, rows, sums, squares);
  }
}

template <typename T>
FT_INLINE void ForwardAs(const void* x, const void* residual, const float* scale,
                         const float* shift, Activation activation, Rows rows, void* y) {
  const auto* in = In<T>(x);
  const auto* add = In<T>(residual);
  ForActivation(
      activation, [=]<Activation kActivation>() __attribute__((always_inline)) {
        add != nullptr ? Forward<T, true, kActivation>(in, add, scale, shift, rows, Out<T>(y))
                       : Forward<T, false, kActivation>(in, add, scale, shift, rows, Out<T>(y));
      });
}

FT_VECTORISED void ForwardOf(bool bfloat16, const void* x, const void* residual, const float* scale,
                             const float* shift, Activation activation, Rows rows, void* y) {
  bfloat16 ? ForwardAs<AsBfloat16>(x, residual, scale, shift, activation, rows, y)
           : ForwardAs<AsFloat32>(x, residual, scale, shift, activation, rows, y);
}

// Behind, before the element type is known.
struct UntypedBehind {
  Activation activation;
  const void* y;
  const float* scale;
  const float* shift;
};
template <typename T>
FT_INLINE void AddGradientsAs(const void* dy, const UntypedBehind& of, const void* x,
                              const float* mean, Rows rows, void* write_g, float* sums,
                              float* products) {
  const Behind<T> behind{In<T>(of.y), of.scale, of.shift};
  ForActivation(
      of.activation, [=]<Activation kActivation>() __attribute__((always_inline)) {
        write_g != nullptr
            ? AddGradients<T, kActivation, true>(In<T>(dy), behind, In<T>(x), mean, rows,
                                                 Out<T>(write_g), sums, products)
            : AddGradients<T, kActivation, false>(In<T>(dy), behind, In<T>(x), mean, rows, nullptr,
                                                  sums, products);
      });
}

FT_VECTORISED void AddGradientsOf(bool bfloat16, const void* dy, const UntypedBehind& of,
                                  const void* x, const float* mean, Rows rows, void* write_g,
                                  float* sums, float* products) {
  bfloat16 ? AddGradientsAs<AsBfloat16>(dy, of, x, mean, rows, write_g, sums, products)
           : AddGradientsAs<AsFloat32>(dy, of, x, mean, rows, write_g, sums, products);
}

template <typename T>
FT_INLINE void BackwardAs(const void* dy, const UntypedBehind& of, const void* x, const float* a,
                          const float* b, const float* c, Rows rows, void* dx) {
  const Behind<T> behind{In<T>(of.y), of.scale, of.shift};
  ForActivation(
      of.activation, [=]<Activation kActivation>() __attribute__((always_inline)) {
        Backward<T, kActivation>(In<T>(dy), behind, In<T>(x), a, b, c, rows, Out<T>(dx));
      });
}

FT_VECTORISED void BackwardOf(bool bfloat16, const void* dy, const UntypedBehind& of, const void* x,
                              const float* a, const float* b, const float* c, Rows rows, void* dx) {
  bfloat16 ? BackwardAs<AsBfloat16>(dy, of, x, a, b, c, rows, dx)
           : BackwardAs<AsFloat32>(dy, of, x, a, b, c, rows, dx);
}

const void* DataOrNull(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr() : nullptr;
}
const float* Floats(const at::Tensor& tensor) { return tensor.const_data_ptr<float>(); }
const float* FloatsOrNull(const at::Tensor& tensor) {
  return tensor.defined() ? Floats(tensor) : nullptr;
}
UntypedBehind Untyped(const ActivationBehind& of) {
  return {of.activation, DataOrNull(of.y), FloatsOrNull(of.scale), FloatsOrNull(of.shift)};
}
int64_t RowsOf(const at::Tensor& x) { return x.numel() / x.size(1); }

// Calls work(Rows) for every thread's share of x's rows.
template <typename Work>
void ForRows(const at::Tensor& x, const Work& work) {
  const int64_t channels = x.size(1);
  at::parallel_for(0, RowsOf(x), std::max<int64_t>(1, kGrain / channels),
                   [&](int64_t begin, int64_t end) {
                     work(Rows{begin, end, channels});
                   });
}

// Returns two sums for each channel over all rows of x, [2, C] in double. add(Rows, first, second)
// adds the sums over those rows to first [C] and second [C].
template <typename Add>
std::vector<double> SumRows(const at::Tensor& x, const Add& add) {
  const int64_t channels = x.size(1), rows = RowsOf(x);
  const int64_t parts =
      std::clamp<int64_t>(x.numel() / kGrain, 1, static_cast<int64_t>(at::get_num_threads()));
  std::vector<double> all(parts * 2 * channels, 0.0);
  at::parallel_for(0, parts, 1, [&](int64_t first, int64_t last) {
    std::vector<float> block(2 * channels);
    for (int64_t part = first; part < last; ++part) {
      double* sums = all.data() + part * 2 * channels;
      const int64_t end = rows * (part + 1) / parts;
      for (int64_t begin = rows * part / parts; begin < end; begin += kBlock) {
        std::fill(block.begin(), block.end(), 0.0F);
        add(Rows{begin, std::min(begin + kBlock, end), channels}, block.data(),
            block.data() + channels);
        for (int64_t i = 0; i < 2 * channels; ++i) sums[i] += static_cast<double>(block[i]);
      }
    }
  });
  for (int64_t part = 1; part < parts; ++part) {
    for (int64_t i = 0; i < 2 * channels; ++i) all[i] += all[part * 2 * channels + i];
  }
  all.resize(2 * channels);
  return all;
}

}  // namespace

ChannelStatistics StatisticsOf(const at::Tensor& x) {
  const int64_t channels = x.size(1), rows = RowsOf(x);
  ChannelStatistics result{at::zeros({channels}), at::zeros({channels})};
  if (rows == 0) return result;
  // Sums differences from the first row; see the invariants above.
  const at::Tensor first =
      x.permute({0, 2, 3, 1}).view({rows, channels}).select(0, 0).to(at::kFloat);
  const std::vector<double> sums =
      SumRows(x, [&, bfloat16 = IsBfloat16(x), data = x.const_data_ptr(), from = Floats(first)](
                     Rows part, float* sum, float* square) {
        AddMomentsOf(bfloat16, data, from, part, sum, square);
      });
  auto* mean = result.mean.mutable_data_ptr<float>();
  auto* var = result.var.mutable_data_ptr<float>();
  const auto count = static_cast<double>(rows);
  for (int64_t c = 0; c < channels; ++c) {
    const double distance = sums[c] / count;
    mean[c] = static_cast<float>(static_cast<double>(Floats(first)[c]) + distance);
    // With the arguments in this order the result is NaN where the first one is.
    var[c] = static_cast<float>(std::max(sums[channels + c] / count - distance * distance, 0.0));
  }
  return result;
}

at::Tensor ScaleShiftAddAct(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                            const at::Tensor& residual, Activation activation) {
  at::Tensor y = at::empty_like(x);
  ForRows(x, [&, bfloat16 = IsBfloat16(x), in = x.const_data_ptr(), add = DataOrNull(residual),
              out = y.mutable_data_ptr()](Rows rows) {
    ForwardOf(bfloat16, in, add, Floats(scale), Floats(shift), activation, rows, out);
  });
  return y;
}

ChannelGradientSums GradientSumsOf(const at::Tensor& dy, const ActivationBehind& of,
                                   const at::Tensor& x, const at::Tensor& mean,
                                   const at::Tensor& write_g) {
  const int64_t channels = x.size(1);
  const std::vector<double> sums = SumRows(
      x, [&, bfloat16 = IsBfloat16(x), gradient = dy.const_data_ptr(), behind = Untyped(of),
          in = x.const_data_ptr(), out = write_g.defined() ? write_g.mutable_data_ptr() : nullptr](
             Rows rows, float* sum, float* product) {
        AddGradientsOf(bfloat16, gradient, behind, in, Floats(mean), rows, out, sum, product);
      });
  ChannelGradientSums result{at::empty({channels}), at::empty({channels})};
  std::copy_n(sums.begin(), channels, result.g.mutable_data_ptr<float>());
  std::copy_n(sums.begin() + channels, channels, result.gx.mutable_data_ptr<float>());
  return result;
}

at::Tensor InputGradient(const at::Tensor& dy, const ActivationBehind& of, const at::Tensor& x,
                         const at::Tensor& a, const at::Tensor& b, const at::Tensor& c) {
  at::Tensor dx = at::empty_like(x);
  ForRows(x, [&, bfloat16 = IsBfloat16(x), gradient = dy.const_data_ptr(), behind = Untyped(of),
              in = x.const_data_ptr(), out = dx.mutable_data_ptr()](Rows rows) {
    BackwardOf(bfloat16, gradient, behind, in, Floats(a), Floats(b), Floats(c), rows, out);
  });
  return dx;
}

}  // namespace finetune
