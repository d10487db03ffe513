// Problem: a depthwise convolution uses each number that it loads only k * k times; an ordinary
// convolution uses it hundreds of times. So memory limits its speed, and the arithmetic of forward
// and of both gradients must keep up with the caches.
//
// Method: vector lanes are channels. A line is a row of pixels of a map; a place is one of the
// k * k positions in the window. Forward and for the input's gradient, a tile of kTile consecutive
// pixels in a line of the result stays in registers while the sum runs over the places, so a
// place's weights are loaded once for the tile. Both directions are the same sum: along an axis, a
// Tap says which input pixel a result pixel multiplies at a place. For the input's gradient with
// stride s, result pixels j fall into s classes (j mod s), each with its own taps. For the weight's
// gradient, the sums of one line of the window stay in registers while the loop runs over kPiece
// pixels of dy.
//
// Memory: maps are [N, H, W, C], packed weights [k * k, C]. Padding is never read: places that lie
// in the padding are left out of the sum.
//
// Invariants: a thread computes whole lines of a result. Sums of a weight's gradient are float32
// over kBlockLines lines and double over all. The lines of a thread depend only on the number of
// lines and of threads.
//
// Reference: at::conv2d in float64, by depthwise_test.cc for each kind of vectors.
#include "src/ops/depthwise.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "src/ops/activate.h"
#include "src/ops/conv.h"

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The consecutive result pixels that are summed at once, each with kVectors vectors of channels.
constexpr int64_t kTile = 4;
// The pixels of a line of dy that a weight's gradient takes at a time.
constexpr int64_t kPiece = 16;
constexpr int64_t kBlockLines = 64;
constexpr int64_t kLargestKernel = 7;
// The least number of results for which another thread is used.
constexpr int64_t kGrain = 4096;

// A place of the window along one axis. Result j of its class multiplies input j * step + from by
// the weight at `place`.
struct Tap {
  int64_t from, place;
};

// One axis of a sum. taps[r]: the taps of results r, r + classes, r + 2 * classes, ...
struct Axis {
  int64_t step, classes;
  std::vector<std::vector<Tap>> taps;
};

Axis ForwardAxis(int64_t kernel, int64_t stride, int64_t padding) {
  Axis axis{stride, 1, std::vector<std::vector<Tap>>(1)};
  for (int64_t place = 0; place < kernel; ++place) axis.taps[0].push_back({place - padding, place});
  return axis;
}

Axis GradientAxis(int64_t kernel, int64_t stride, int64_t padding) {
  Axis axis{1, stride, std::vector<std::vector<Tap>>(stride)};
  for (int64_t i = 0; i < stride; ++i) {
    for (int64_t place = 0; place < kernel; ++place) {
      const int64_t distance = i + padding - place;
      if (distance % stride == 0) axis.taps[i].push_back({distance / stride, place});
    }
  }
  return axis;
}

// Describes a sum over the window, from the input [N, in_height, in_width, C] to the result [N,
// height, width, C].
struct Sum {
  Axis down, across;
  int64_t kernel, channels;
  int64_t in_height, in_width, height, width;
  const float* weights;  // [kernel * kernel, C]
  const float* bias;     // [C], or null
};

int64_t CeilOf(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

template <typename N, int64_t kVectors, Activation kActivation>
class Lines {
  using Storage = typename N::Storage;
  using Floats = typename N::Floats;
  static constexpr int64_t kLanes = N::kLanes, kStep = kVectors * kLanes;

  // A tap across a line, and the results [first, last) of a tile for which it is not in the
  // padding.
  struct TileTap {
    int64_t input, weight;  // offsets in a row of the input, in a row of the window
    int64_t first, last;
  };
  // A row of the input, and the row of the window that meets it.
  struct Row {
    const Storage* input;
    const float* weights;
  };

  // Computes `count` results of a line that lie `distance` elements apart. kWhole: `count` is
  // kTile, and no tap lies in the padding for any of them.
  template <bool kWhole>
  static FT_INLINE void Tile(const Sum& of, const Row* rows, int64_t row_count, const TileTap* taps,
                             int64_t tap_count, int64_t count, int64_t distance, Storage* result) {
    const int64_t in_distance = of.across.step * of.channels;
    for (int64_t c = 0; c < of.channels; c += kStep) {
      Floats sums[kTile][kVectors];
      Unrolled<kVectors>([&](auto v) __attribute__((always_inline)) {
        Floats start = {};
        if (of.bias != nullptr) std::memcpy(&start, of.bias + c + v * kLanes, sizeof(start));
        Unrolled<kTile>([&](auto t) __attribute__((always_inline)) { sums[t][v] = start; });
      });
      for (const Row* row = rows; row != rows + row_count; ++row) {
        for (const TileTap* tap = taps; tap != taps + tap_count; ++tap) {
          Floats weight[kVectors];
          Unrolled<kVectors>([&](auto v) __attribute__((always_inline)) {
            std::memcpy(&weight[v], row->weights + tap->weight + c + v * kLanes, sizeof(Floats));
          });
          const int64_t at = tap->input + c;
          Unrolled<kTile>([&](auto t) __attribute__((always_inline)) {
            if (!kWhole && (t < tap->first || t >= tap->last)) return;
            Unrolled<kVectors>([&](auto v) __attribute__((always_inline)) {
              Floats value;
              N::Load(row->input + at + t * in_distance + v * kLanes, value);
              sums[t][v] += value * weight[v];
            });
          });
        }
      }
      Unrolled<kTile>([&](auto t) __attribute__((always_inline)) {
        if (!kWhole && t >= count) return;
        Unrolled<kVectors>([&](auto v) __attribute__((always_inline)) {
          Activate<kActivation, Floats, typename N::Bits>(sums[t][v]);
          N::Store(sums[t][v], result + t * distance + c + v * kLanes);
        });
      });
    }
  }

 public:
  // Computes lines [begin, end) of the result. Lines are counted through all images.
  static FT_INLINE void Run(const Sum& of, const Storage* input, int64_t begin, int64_t end,
                            Storage* result) {
    const int64_t in_row = of.in_width * of.channels;
    for (int64_t line = begin; line < end; ++line) {
      const int64_t image = line / of.height, y = line % of.height;
      Row rows[kLargestKernel];
      int64_t row_count = 0;
      for (const Tap& tap : of.down.taps[y % of.down.classes]) {
        const int64_t at = y / of.down.classes * of.down.step + tap.from;
        if (at < 0 || at >= of.in_height) continue;
        rows[row_count++] = {input + (image * of.in_height + at) * in_row,
                             of.weights + tap.place * of.kernel * of.channels};
      }
      for (int64_t i = 0; i < of.across.classes; ++i) {
        const int64_t distance = of.across.classes * of.channels;
        const int64_t count = (of.width - i + of.across.classes - 1) / of.across.classes;
        Storage* to = result + (line * of.width + i) * of.channels;
        for (int64_t first = 0; first < count; first += kTile) {
          const int64_t some = std::min(kTile, count - first);
          TileTap taps[kLargestKernel];
          int64_t tap_count = 0;
          bool whole = some == kTile;
          for (const Tap& tap : of.across.taps[i]) {
            const int64_t step = of.across.step, at = first * step + tap.from;
            const int64_t from = std::clamp<int64_t>(CeilOf(-at, step), 0, some);
            const int64_t last = std::clamp<int64_t>(CeilOf(of.in_width - at, step), from, some);
            whole = whole && from == 0 && last == kTile;
            if (from == last) continue;
            taps[tap_count++] = {at * of.channels, tap.place * of.channels, from, last};
          }
          whole ? Tile<true>(of, rows, row_count, taps, tap_count, some, distance,
                             to + first * distance)
                : Tile<false>(of, rows, row_count, taps, tap_count, some, distance,
                              to + first * distance);
        }
      }
    }
  }
};

// The shape of a convolution whose weight's gradient is summed.
struct Shape {
  int64_t channels, stride, top, left;
  int64_t height, width;          // of x
  int64_t out_height, out_width;  // of dy
};

template <typename N, int64_t kKernel, int64_t kVectors>
class WeightSums {
  using Storage = typename N::Storage;
  using Floats = typename N::Floats;
  static constexpr int64_t kLanes = N::kLanes, kStep = kVectors * kLanes;

  // Adds the products of pixels [begin, end) of a line of dy with a row of x to `sums`, which
  // belong to one line of the window. kWhole: no place of that line lies in the padding.
  template <bool kWhole>
  static FT_INLINE void AddPiece(const Shape& of, const Storage* dy, const Storage* x, int64_t c,
                                 int64_t begin, int64_t end, Floats (&sums)[kKernel][kVectors]) {
    for (int64_t i = begin; i < end; ++i) {
      Floats slope[kVectors];
      Unrolled<kVectors>([&](auto v) __attribute__((always_inline)) {
        N::Load(dy + i * of.channels + c + v * kLanes, slope[v]);
      });
      const int64_t first = i * of.stride - of.left;
      Unrolled<kKernel>([&](auto k) __attribute__((always_inline)) {
        if (!kWhole && (first + k < 0 || first + k >= of.width)) return;
        Unrolled<kVectors>([&](auto v) __attribute__((always_inline)) {
          Floats value;
          N::Load(x + (first + k) * of.channels + c + v * kLanes, value);
          sums[k][v] += slope[v] * value;
        });
      });
    }
  }

 public:
  // Adds the products for lines [begin, end) of dy, counted through all images, to `all` [kKernel *
  // kKernel, C].
  static FT_INLINE void Add(const Shape& of, const Storage* dy, const Storage* x, int64_t begin,
                            int64_t end, float* all) {
    // Pixels [whole_begin, whole_end) of a line of dy have windows that lie within a row of x.
    const int64_t last_whole = of.width + of.left - kKernel;
    const int64_t whole_begin = std::min(CeilOf(of.left, of.stride), of.out_width);
    const int64_t whole_end =
        last_whole < 0 ? whole_begin
                       : std::clamp(last_whole / of.stride + 1, whole_begin, of.out_width);
    for (int64_t line = begin; line < end; ++line) {
      const int64_t image = line / of.out_height;
      const int64_t top = line % of.out_height * of.stride - of.top;
      const Storage* slopes = dy + line * of.out_width * of.channels;
      for (int64_t from = 0; from < of.out_width; from += kPiece) {
        const int64_t to = std::min(from + kPiece, of.out_width);
        const int64_t inner = std::clamp(whole_begin, from, to);
        const int64_t outer = std::clamp(whole_end, inner, to);
        for (int64_t c = 0; c < of.channels; c += kStep) {
          for (int64_t place = std::max<int64_t>(0, -top);
               place < std::min(kKernel, of.height - top); ++place) {
            const Storage* row = x + (image * of.height + top + place) * of.width * of.channels;
            Floats sums[kKernel][kVectors];
            float* at = all + place * kKernel * of.channels + c;
            Unrolled<kKernel>([&](auto k) __attribute__((always_inline)) {
              Unrolled<kVectors>([&](auto v) __attribute__((always_inline)) {
                std::memcpy(&sums[k][v], at + k * of.channels + v * kLanes, sizeof(Floats));
              });
            });
            AddPiece<false>(of, slopes, row, c, from, inner, sums);
            AddPiece<true>(of, slopes, row, c, inner, outer, sums);
            AddPiece<false>(of, slopes, row, c, outer, to, sums);
            Unrolled<kKernel>([&](auto k) __attribute__((always_inline)) {
              Unrolled<kVectors>([&](auto v) __attribute__((always_inline)) {
                std::memcpy(at + k * of.channels + v * kLanes, &sums[k][v], sizeof(Floats));
              });
            });
          }
        }
      }
    }
  }
};

template <typename N>
bool TwoVectors(int64_t channels) {
  return channels % (2 * N::kLanes) == 0;
}

template <typename N, int64_t kVectors>
void RunLines(const Sum& of, Activation activation, const at::Tensor& input,
              const at::Tensor& result) {
  using Storage = typename N::Storage;
  const auto* from = static_cast<const Storage*>(input.const_data_ptr());
  auto* to = static_cast<Storage*>(result.mutable_data_ptr());
  const int64_t grain = std::max<int64_t>(1, kGrain / (of.width * of.channels));
  ForActivation(activation, [&]<Activation kActivation>() {
    at::parallel_for(0, result.size(0) * of.height, grain, [&](int64_t begin, int64_t end) {
      N::Run([&]() __attribute__((always_inline)) {
        Lines<N, kVectors, kActivation>::Run(of, from, begin, end, to);
      });
    });
  });
}

// Returns [N, C, height, width], the sum over the window that `down` and `across` describe.
at::Tensor SumOverWindow(const at::Tensor& input, const DepthwiseWeight& weight,
                         const at::Tensor& bias, Activation activation, Axis down, Axis across,
                         int64_t kernel, int64_t height, int64_t width, Vectors vectors) {
  const at::Tensor in = input.contiguous(at::MemoryFormat::ChannelsLast);
  at::Tensor result = at::empty({in.size(0), in.size(1), height, width}, in.options(),
                                at::MemoryFormat::ChannelsLast);
  if (result.numel() == 0) return result;
  const Sum of{.down = std::move(down),
               .across = std::move(across),
               .kernel = kernel,
               .channels = in.size(1),
               .in_height = in.size(2),
               .in_width = in.size(3),
               .height = height,
               .width = width,
               .weights = weight.places.const_data_ptr<float>(),
               .bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr};
  MustForNumbers(in.scalar_type(), vectors, [&]<typename N>() {
    TwoVectors<N>(of.channels) ? RunLines<N, 2>(of, activation, in, result)
                               : RunLines<N, 1>(of, activation, in, result);
  });
  return result;
}

int64_t KernelOf(const DepthwiseWeight& weight) {
  int64_t kernel = 1;
  while (kernel * kernel < weight.places.size(0)) ++kernel;
  return kernel;
}

// Returns the weight's gradient, [kernel * kernel, C] in double, summed over all lines of dy.
template <typename N, int64_t kKernel, int64_t kVectors>
std::vector<double> SumLines(const Shape& of, const at::Tensor& dy, const at::Tensor& x) {
  const auto* slopes = static_cast<const typename N::Storage*>(dy.const_data_ptr());
  const auto* map = static_cast<const typename N::Storage*>(x.const_data_ptr());
  const int64_t lines = dy.size(0) * of.out_height, size = kKernel * kKernel * of.channels;
  const int64_t parts =
      std::clamp<int64_t>(dy.numel() / kGrain, 1, std::min<int64_t>(at::get_num_threads(), lines));
  std::vector<double> all(parts * size, 0.0);
  at::parallel_for(0, parts, 1, [&](int64_t first, int64_t last) {
    std::vector<float> block(size);
    for (int64_t part = first; part < last; ++part) {
      double* sums = all.data() + part * size;
      const int64_t end = lines * (part + 1) / parts;
      for (int64_t begin = lines * part / parts; begin < end; begin += kBlockLines) {
        std::fill(block.begin(), block.end(), 0.0F);
        N::Run([&]() __attribute__((always_inline)) {
          WeightSums<N, kKernel, kVectors>::Add(of, slopes, map, begin,
                                                std::min(begin + kBlockLines, end), block.data());
        });
        for (int64_t i = 0; i < size; ++i) sums[i] += static_cast<double>(block[i]);
      }
    }
  });
  for (int64_t part = 1; part < parts; ++part) {
    for (int64_t i = 0; i < size; ++i) all[i] += all[part * size + i];
  }
  all.resize(size);
  return all;
}

template <typename N>
std::vector<double> SumLines(const Shape& of, int64_t kernel, const at::Tensor& dy,
                             const at::Tensor& x) {
  const bool two = TwoVectors<N>(of.channels);
  switch (kernel) {
    case 3:
      return two ? SumLines<N, 3, 2>(of, dy, x) : SumLines<N, 3, 1>(of, dy, x);
    case 5:
      return two ? SumLines<N, 5, 2>(of, dy, x) : SumLines<N, 5, 1>(of, dy, x);
    default:
      return SumLines<N, 7, 1>(of, dy, x);
  }
}

struct TrainedDepthwiseFunction : torch::autograd::Function<TrainedDepthwiseFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, int64_t stride,
                            const Padding& padding) {
    context->save_for_backward({x, weight});
    context->saved_data["has_bias"] = bias.has_value();
    context->saved_data["stride"] = stride;
    context->saved_data["padding"] =
        std::vector<int64_t>{padding.top, padding.left, padding.bottom, padding.right};
    const DepthwiseWeight packed = PackDepthwise(weight.to(x.scalar_type()));
    return DepthwiseConv(x.to(ConvType(x)), packed, bias.value_or(at::Tensor()), Activation::kNone,
                         stride, padding)
        .to(x.scalar_type());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const int64_t stride = context->saved_data["stride"].toInt();
    const std::vector<int64_t> sides = context->saved_data["padding"].toIntVector();
    const Padding padding{sides[0], sides[1], sides[2], sides[3]};
    const at::ScalarType type = ConvType(x);
    const at::Tensor dy = gradients[0].to(type);
    at::Tensor dx, dw, db;
    if (context->needs_input_grad(0)) {
      const DepthwiseWeight packed = PackDepthwise(weight.to(x.scalar_type()));
      dx = DepthwiseInputGradient(dy, packed, x, stride, padding).to(x.scalar_type());
    }
    if (context->needs_input_grad(1)) {
      dw = DepthwiseWeightGradient(dy, x.to(type), weight.size(2), stride, padding);
    }
    const bool has_bias = context->saved_data["has_bias"].toBool();
    if (has_bias && context->needs_input_grad(2))
      db = dy.sum({0, 2, 3}, /*keepdim=*/false, at::kFloat);
    return {dx, dw, db, {}, {}};
  }
};

}  // namespace

bool DepthwiseRuns(at::ScalarType type, const at::Tensor& weight, int64_t groups, Vectors vectors) {
  const int64_t kernel = weight.size(2);
  bool fits = false;
  ForNumbers(type, vectors, [&]<typename N>() { fits = groups % N::kLanes == 0; });
  return fits && weight.is_cpu() && groups == weight.size(0) && weight.size(1) == 1 &&
         weight.size(3) == kernel && (kernel == 3 || kernel == 5 || kernel == kLargestKernel);
}

DepthwiseWeight PackDepthwise(const at::Tensor& weight) {
  return {weight.to(at::kFloat).view({weight.size(0), -1}).t().contiguous()};
}

at::Tensor DepthwiseConv(const at::Tensor& x, const DepthwiseWeight& weight, const at::Tensor& bias,
                         Activation activation, int64_t stride, const Padding& padding,
                         Vectors vectors) {
  const int64_t kernel = KernelOf(weight);
  const int64_t height = (x.size(2) + padding.top + padding.bottom - kernel) / stride + 1;
  const int64_t width = (x.size(3) + padding.left + padding.right - kernel) / stride + 1;
  return SumOverWindow(x, weight, bias, activation, ForwardAxis(kernel, stride, padding.top),
                       ForwardAxis(kernel, stride, padding.left), kernel, height, width, vectors);
}

at::Tensor DepthwiseInputGradient(const at::Tensor& dy, const DepthwiseWeight& weight,
                                  const at::Tensor& x, int64_t stride, const Padding& padding,
                                  Vectors vectors) {
  const int64_t kernel = KernelOf(weight);
  return SumOverWindow(
      dy, weight, /*bias=*/{}, Activation::kNone, GradientAxis(kernel, stride, padding.top),
      GradientAxis(kernel, stride, padding.left), kernel, x.size(2), x.size(3), vectors);
}

at::Tensor DepthwiseWeightGradient(const at::Tensor& dy, const at::Tensor& x, int64_t kernel,
                                   int64_t stride, const Padding& padding, Vectors vectors) {
  const at::Tensor slopes = dy.contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor map = x.contiguous(at::MemoryFormat::ChannelsLast);
  const Shape of{.channels = x.size(1),
                 .stride = stride,
                 .top = padding.top,
                 .left = padding.left,
                 .height = x.size(2),
                 .width = x.size(3),
                 .out_height = dy.size(2),
                 .out_width = dy.size(3)};
  at::Tensor dw = at::empty({of.channels, 1, kernel, kernel}, at::kFloat);
  if (dy.numel() == 0) return dw.zero_();
  std::vector<double> sums;
  MustForNumbers(map.scalar_type(), vectors,
                 [&]<typename N>() { sums = SumLines<N>(of, kernel, slopes, map); });
  auto* to = dw.mutable_data_ptr<float>();
  const int64_t places = kernel * kernel;
  for (int64_t c = 0; c < of.channels; ++c) {
    for (int64_t place = 0; place < places; ++place) {
      *to++ = static_cast<float>(sums[place * of.channels + c]);
    }
  }
  return dw;
}

at::Tensor TrainedDepthwiseConv(const at::Tensor& x, const at::Tensor& weight,
                                const at::Tensor& bias, int64_t stride, const Padding& padding) {
  const std::optional<at::Tensor> given = bias.defined() ? std::optional(bias) : std::nullopt;
  return TrainedDepthwiseFunction::apply(x, weight, given, stride, padding);
}

}  // namespace finetune
