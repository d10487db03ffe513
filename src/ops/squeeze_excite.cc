// Problem: the two layers of squeeze-and-excitation are tiny, but the passes over the feature map
// around them are not. LibTorch's operators make seven: for the means, for the product, and in
// backward for the product's two gradients, for spreading the means' gradient over the pixels and
// for adding it.
//
// Method: two passes forward (means; product) and two backward. The result is y = x * f, where f
// has a factor for each channel of an image. The first backward pass computes the gradient of f,
// the sum of dy * x over the pixels. The second computes dx = dy * f + m, where m is the gradient
// that comes through the means. Between the passes LibTorch multiplies small matrices of N rows.
//
// Memory: a map is [N, pixels, C] of float32 or bfloat16 (channels-last). Numbers for each channel
// of an image are float32 [N, C].
//
// Invariants: sums over pixels are float32 within kBlock pixels and float64 across blocks. One
// thread computes each sum, in the order of the pixels, so its bits do not depend on the number of
// threads.
//
// Reference: LibTorch's operators in float64. squeeze_excite_test.cc compares with them.
#include "src/ops/squeeze_excite.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/hardsigmoid.h>
#include <ATen/ops/hardsigmoid_backward.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sigmoid_backward.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>
#include <ATen/ops/threshold_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstdint>

#include "src/base/ceil_divide.h"
#include "src/ops/map_numbers.h"
#include "src/ops/vectors.h"

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The number of channels that a thread sums at a time. Their sums stay in its cache.
constexpr int64_t kChannels = 64;
// The number of pixels that are summed in float32 before the sums are added to float64 sums.
constexpr int64_t kBlock = 64;
// The least number of elements for which another thread is used.
constexpr int64_t kGrain = 16384;

// The channels [first, last) of all pixels of one image. The image's map is [pixels, row], where
// `row` is the number of all channels.
struct Channels {
  int64_t pixels, row, first, last;
};

// Sets sums[c], for each channel c of `part`, to the sum over the pixels of a, or of a * b if
// kProduct is true.
template <typename T, bool kProduct>
FT_INLINE void Sum(const typename T::Storage* __restrict a, const typename T::Storage* __restrict b,
                   Channels part, float* __restrict sums) {
  const int64_t count = part.last - part.first;
  double all[kChannels] = {};
  for (int64_t begin = 0; begin < part.pixels; begin += kBlock) {
    float block[kChannels] = {};
    const int64_t end = std::min(begin + kBlock, part.pixels);
    for (int64_t p = begin; p < end; ++p) {
      const int64_t at = p * part.row + part.first;
      for (int64_t c = 0; c < count; ++c) {
        if constexpr (kProduct) {
          block[c] += T::Load(a[at + c]) * T::Load(b[at + c]);
        } else {
          block[c] += T::Load(a[at + c]);
        }
      }
    }
    for (int64_t c = 0; c < count; ++c) all[c] += static_cast<double>(block[c]);
  }
  for (int64_t c = 0; c < count; ++c) sums[part.first + c] = static_cast<float>(all[c]);
}

template <typename T>
FT_INLINE void SumAs(const void* a, const void* b, int64_t image, Channels part, float* sums) {
  using Storage = typename T::Storage;
  const int64_t at = image * part.pixels * part.row;
  float* to = sums + image * part.row;
  if (b == nullptr) {
    Sum<T, false>(static_cast<const Storage*>(a) + at, nullptr, part, to);
  } else {
    Sum<T, true>(static_cast<const Storage*>(a) + at, static_cast<const Storage*>(b) + at, part,
                 to);
  }
}

FT_VECTORISED void SumOf(bool bfloat16, const void* a, const void* b, int64_t image, Channels part,
                         float* sums) {
  bfloat16 ? SumAs<AsBfloat16>(a, b, image, part, sums) : SumAs<AsFloat32>(a, b, image, part, sums);
}

// Computes y = x * factor, or y = x * factor + term if kAdd is true, for the pixels [begin, end) of
// all images. `pixels`: the number of pixels of one image.
template <typename T, bool kAdd>
FT_INLINE void Scale(const typename T::Storage* __restrict x, const float* __restrict factors,
                     const float* __restrict terms, int64_t pixels, int64_t channels, int64_t begin,
                     int64_t end, typename T::Storage* __restrict y) {
  for (int64_t p = begin; p < end; ++p) {
    const int64_t at = p * channels;
    const float* __restrict factor = factors + p / pixels * channels;
    const float* __restrict term = kAdd ? terms + p / pixels * channels : nullptr;
    for (int64_t c = 0; c < channels; ++c) {
      float v = T::Load(x[at + c]) * factor[c];
      if constexpr (kAdd) v += term[c];
      y[at + c] = T::Store(v);
    }
  }
}

template <typename T>
FT_INLINE void ScaleAs(const void* x, const float* factors, const float* terms, int64_t pixels,
                       int64_t channels, int64_t begin, int64_t end, void* y) {
  using Storage = typename T::Storage;
  const auto* from = static_cast<const Storage*>(x);
  auto* to = static_cast<Storage*>(y);
  terms == nullptr ? Scale<T, false>(from, factors, terms, pixels, channels, begin, end, to)
                   : Scale<T, true>(from, factors, terms, pixels, channels, begin, end, to);
}

FT_VECTORISED void ScaleOf(bool bfloat16, const void* x, const float* factors, const float* terms,
                           int64_t pixels, int64_t channels, int64_t begin, int64_t end, void* y) {
  bfloat16 ? ScaleAs<AsBfloat16>(x, factors, terms, pixels, channels, begin, end, y)
           : ScaleAs<AsFloat32>(x, factors, terms, pixels, channels, begin, end, y);
}

int64_t PixelsOf(const at::Tensor& x) { return x.size(2) * x.size(3); }

// Returns the sums over the pixels of x, or of x * y if `y` is defined: [N, C] float32.
at::Tensor PixelSums(const at::Tensor& x, const at::Tensor& y) {
  const int64_t images = x.size(0), channels = x.size(1), pixels = PixelsOf(x);
  const int64_t parts = CeilDivide(channels, kChannels);
  at::Tensor sums = at::empty({images, channels}, at::kFloat);
  const void* a = x.const_data_ptr();
  const void* b = y.defined() ? y.const_data_ptr() : nullptr;
  auto* to = sums.mutable_data_ptr<float>();
  const int64_t grain = std::max<int64_t>(1, kGrain / (pixels * std::min(kChannels, channels)));
  at::parallel_for(0, images * parts, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % parts * kChannels;
      SumOf(IsBfloat16(x), a, b, i / parts,
            {pixels, channels, first, std::min(first + kChannels, channels)}, to);
    }
  });
  return sums;
}

// Returns x * factors + terms, in x's type and shape. factors, terms: [N, C] float32. `terms`:
// undefined for none.
at::Tensor ScaleChannels(const at::Tensor& x, const at::Tensor& factors, const at::Tensor& terms) {
  at::Tensor y = at::empty_like(x);
  const int64_t channels = x.size(1), pixels = PixelsOf(x);
  const void* from = x.const_data_ptr();
  void* to = y.mutable_data_ptr();
  const auto* factor = factors.const_data_ptr<float>();
  const float* term = terms.defined() ? terms.const_data_ptr<float>() : nullptr;
  at::parallel_for(0, x.size(0) * pixels, std::max<int64_t>(1, kGrain / channels),
                   [&](int64_t begin, int64_t end) {
                     ScaleOf(IsBfloat16(x), from, factor, term, pixels, channels, begin, end, to);
                   });
  return y;
}

at::Tensor Matrix(const at::Tensor& weight) { return weight.view({weight.size(0), -1}); }

struct SqueezeExciteFunction : torch::autograd::Function<SqueezeExciteFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& reduce,
                            const at::Tensor& reduce_bias, const at::Tensor& expand,
                            const at::Tensor& expand_bias, Activation activation, Gate gate) {
    TORCH_CHECK_VALUE(activation == Activation::kRelu || activation == Activation::kSilu,
                      "squeeze-and-excitation: expected ReLU or SiLU between its layers");
    const at::Tensor means = PixelSums(x, {}).div_(PixelsOf(x));
    const at::Tensor reduced = at::linear(means, Matrix(reduce), reduce_bias);
    const at::Tensor hidden =
        activation == Activation::kSilu ? at::silu(reduced) : at::relu(reduced);
    const at::Tensor excited = at::linear(hidden, Matrix(expand), expand_bias);
    const at::Tensor factors =
        gate == Gate::kSigmoid ? at::sigmoid(excited) : at::hardsigmoid(excited);
    context->save_for_backward({x, means, reduced, hidden, excited, factors, reduce, expand});
    context->saved_data["activation"] = static_cast<int64_t>(activation);
    context->saved_data["gate"] = static_cast<int64_t>(gate);
    return ScaleChannels(x, factors, {});
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &means = saved[1], &reduced = saved[2], &hidden = saved[3],
                     &excited = saved[4], &factors = saved[5];
    const at::Tensor reduce = Matrix(saved[6]), expand = Matrix(saved[7]);
    const at::Tensor dy =
        gradients[0].to(x.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor of_factors = PixelSums(dy, x);
    const at::Tensor of_excited =
        static_cast<Gate>(context->saved_data["gate"].toInt()) == Gate::kSigmoid
            ? at::sigmoid_backward(of_factors, factors)
            : at::hardsigmoid_backward(of_factors, excited);
    const at::Tensor of_hidden = at::mm(of_excited, expand);
    const at::Tensor of_reduced =
        static_cast<Activation>(context->saved_data["activation"].toInt()) == Activation::kSilu
            ? at::silu_backward(of_hidden, reduced)
            : at::threshold_backward(of_hidden, hidden, 0);
    at::Tensor dx;
    if (context->needs_input_grad(0)) {
      dx = ScaleChannels(dy, factors, at::mm(of_reduced, reduce).div_(PixelsOf(x)));
    }
    return {dx,
            at::mm(of_reduced.t(), means).view(saved[6].sizes()),
            of_reduced.sum(0),
            at::mm(of_excited.t(), hidden).view(saved[7].sizes()),
            of_excited.sum(0),
            {},
            {}};
  }
};

}  // namespace

at::Tensor SqueezeExcite(const at::Tensor& x, const SqueezeExciteWeights& weights,
                         Activation activation, Gate gate) {
  return SqueezeExciteFunction::apply(x.contiguous(at::MemoryFormat::ChannelsLast), weights.reduce,
                                      weights.reduce_bias, weights.expand, weights.expand_bias,
                                      activation, gate);
}

}  // namespace finetune
