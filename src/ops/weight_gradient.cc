// The gradient of a convolution's weight as matrix products (panel_product.h).
//
// Problem: dw[k, place, c] is the sum over all result pixels of dy[pixel, k] * x[met pixel, c]. A
// place is one of the kernel * kernel positions of the kernel. The met pixel is the one of x that
// result pixel `pixel` is multiplied by at this place; in the padding it is 0.
//
// Method: for each place one product, dy^T [K, pixels] x met [pixels, C]. The sum is long (all
// pixels of the batch) and the result small, so both factors are packed chunk by chunk (Chunks),
// and the products of each chunk are added to dw. Within a chunk, threads first pack, then take
// products of one panel of kernels and one panel of channels.
//
// Memory: maps are [N, H, W, C] (channels-last). Packed factors of a chunk, in units of pixels:
//   met     [places, C / kPanel, steps, kPanel]
//   slopes  [K / kPanel, steps, kPanel], which LeftFactor reads transposed
// dw is [K, kernel, kernel, C] in memory.
//
// Invariants: K and C are multiples of kPanel. Sums are float32 and in the order of the pixels, so
// the number of threads does not change a bit.
//
// Reference: at::conv2d's backward pass in float64, by conv_test.cc.
#include "src/ops/weight_gradient.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <optional>

#include "src/ops/panel_product.h"
#include "src/ops/shares.h"

namespace finetune {
namespace {

// The shape of the convolution.
struct Shape {
  int64_t kernels, channels, kernel, stride, padding;
  int64_t height, width;          // of x
  int64_t out_height, out_width;  // of dy
};

template <typename N>
class Products {
  using Storage = typename N::Storage;
  static constexpr int64_t kLanes = N::kLanes, kPerUnit = N::kPerUnit;

  // Packs pixels [begin, end) into panels whose columns are channels and whose steps are units of
  // pixels. pixel(i) returns a pointer to the channels of pixel i, or null for zeros. `units`:
  // [channels / kPanel, steps, kPanel]. Pixel `begin` goes to step `step`.
  template <typename Pixel>
  static FT_INLINE void Pack(const Pixel& pixel, int64_t begin, int64_t end, int64_t channels,
                             int64_t step, int64_t steps, uint32_t* units) {
    for (int64_t i = begin; i < end; i += kPerUnit, ++step) {
      const Storage* from[kPerUnit];
      for (int64_t k = 0; k < kPerUnit; ++k) from[k] = i + k < end ? pixel(i + k) : nullptr;
      for (int64_t c = 0; c < channels; c += kLanes) {
        typename N::Floats values[kPerUnit] = {};
        typename N::Bits unit;
        for (int64_t k = 0; k < kPerUnit; ++k) {
          if (from[k] != nullptr) N::Load(from[k] + c, values[k]);
        }
        N::ToUnits(values, unit);
        std::memcpy(units + (c / kPanel<N> * steps + step) * kPanel<N> + c % kPanel<N>, &unit,
                    sizeof(unit));
      }
    }
  }

  // Returns the pixel of x that result pixel `i` is multiplied by at a place of the kernel; null
  // where that lies in the padding.
  static FT_INLINE const Storage* Met(const Storage* x, const Shape& shape, int64_t i,
                                      int64_t place) {
    const int64_t row = i / shape.out_width, image = row / shape.out_height;
    const int64_t y = row % shape.out_height * shape.stride + place / shape.kernel - shape.padding;
    const int64_t at = i % shape.out_width * shape.stride + place % shape.kernel - shape.padding;
    if (y < 0 || y >= shape.height || at < 0 || at >= shape.width) return nullptr;
    return x + ((image * shape.height + y) * shape.width + at) * shape.channels;
  }

 public:
  // Computes dw, [K, kernel, kernel, C] in memory. `pixels`: the number of pixels of dy, in all
  // images.
  static void Sum(const Storage* dy, const Storage* x, int64_t pixels, const Shape& shape,
                  float* dw) {
    const int64_t places = shape.kernel * shape.kernel;
    const int64_t panels = shape.channels / kPanel<N>, kernel_panels = shape.kernels / kPanel<N>;
    const Chunks chunks((pixels + kPerUnit - 1) / kPerUnit, places * shape.channels + shape.kernels,
                        kTileSteps);
    const int64_t size = chunks.size;
    const at::Tensor met_units = at::empty({places * size * shape.channels}, at::kInt);
    const at::Tensor slope_units = at::empty({size * shape.kernels}, at::kInt);
    auto* met = static_cast<uint32_t*>(met_units.mutable_data_ptr());
    auto* slopes = static_cast<uint32_t*>(slope_units.mutable_data_ptr());
    for (int64_t first = 0; first < chunks.steps; first += size) {
      const int64_t steps = std::min(size, chunks.steps - first);
      at::parallel_for(0, steps, 1, [&](int64_t from, int64_t to) {
        const int64_t begin = (first + from) * kPerUnit;
        const int64_t end = std::min((first + to) * kPerUnit, pixels);
        N::Run([&]() __attribute__((always_inline)) {
          const auto slope = [&](int64_t i) __attribute__((always_inline)) {
            return dy + i * shape.kernels;
          };
          Pack(slope, begin, end, shape.kernels, from, steps, slopes);
          for (int64_t place = 0; place < places; ++place) {
            const auto pixel = [&](int64_t i) __attribute__((always_inline)) {
              return Met(x, shape, i, place);
            };
            Pack(pixel, begin, end, shape.channels, from, steps,
                 met + place * steps * shape.channels);
          }
        });
      });
      ForShares(kernel_panels * places * panels, 1, [&](const auto& take) {
        N::Run([&]() __attribute__((always_inline)) {
          while (const std::optional<Shares::Range> square = take(1)) {
            const int64_t i = square->begin;
            const int64_t right = i % (places * panels), place = right / panels;
            const int64_t kernel = i / (places * panels) * kPanel<N>;
            MultiplyPanel<N>(
                {slopes + kernel * steps, 1, kPanel<N>}, kPanel<N>, met + right * steps * kPanel<N>,
                steps, /*add=*/first > 0,
                dw + (kernel * places + place) * shape.channels + right % panels * kPanel<N>,
                places * shape.channels);
          }
        });
      });
    }
  }
};

}  // namespace

bool ProductWeightGradientRuns(const at::Tensor& x, const at::Tensor& weight, Vectors vectors) {
  bool fits = false;
  ForNumbers(x.scalar_type(), vectors, [&]<typename N>() {
    fits = weight.size(0) % kPanel<N> == 0 && weight.size(1) % kPanel<N> == 0;
  });
  return fits && x.is_cpu() && x.numel() > 0;
}

at::Tensor ProductWeightGradient(const at::Tensor& dy, const at::Tensor& x, int64_t kernel,
                                 int64_t stride, int64_t padding, Vectors vectors) {
  const at::Tensor slopes = dy.contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor map = x.contiguous(at::MemoryFormat::ChannelsLast);
  const Shape shape{.kernels = dy.size(1),
                    .channels = x.size(1),
                    .kernel = kernel,
                    .stride = stride,
                    .padding = padding,
                    .height = x.size(2),
                    .width = x.size(3),
                    .out_height = dy.size(2),
                    .out_width = dy.size(3)};
  at::Tensor dw =
      at::empty({shape.kernels, shape.channels, kernel, kernel}, at::kFloat, std::nullopt,
                std::nullopt, std::nullopt, at::MemoryFormat::ChannelsLast);
  MustForNumbers(x.scalar_type(), vectors, [&]<typename N>() {
    Products<N>::Sum(static_cast<const typename N::Storage*>(slopes.const_data_ptr()),
                     static_cast<const typename N::Storage*>(map.const_data_ptr()),
                     dy.numel() / shape.kernels, shape, dw.mutable_data_ptr<float>());
  });
  return dw;
}

}  // namespace finetune
