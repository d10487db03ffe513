#include "src/ops/weight_gradient.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <optional>

#include "src/ops/panel_product.h"
#include "src/ops/shares.h"

namespace finetune {
namespace {

struct Shape {
  int64_t kernels, channels, kernel, stride, padding;
  int64_t height, width;          // of x
  int64_t out_height, out_width;  // of dy
};

template <typename N>
class Products {
  using Storage = typename N::Storage;
  static constexpr int64_t kLanes = N::kLanes, kPerUnit = N::kPerUnit;

  // Packs what pixel(i) points to for i in [begin, end), null for zeros, into panels of channels
  // whose steps are units of pixels. `units`: [channels / kPanel, steps, kPanel]; `begin` is at
  // step `step`.
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

  // The pixel of x that dy's pixel `i` has met at a place of the kernel; null in the padding.
  static FT_INLINE const Storage* Met(const Storage* x, const Shape& shape, int64_t i,
                                      int64_t place) {
    const int64_t row = i / shape.out_width, image = row / shape.out_height;
    const int64_t y = row % shape.out_height * shape.stride + place / shape.kernel - shape.padding;
    const int64_t at = i % shape.out_width * shape.stride + place % shape.kernel - shape.padding;
    if (y < 0 || y >= shape.height || at < 0 || at >= shape.width) return nullptr;
    return x + ((image * shape.height + y) * shape.width + at) * shape.channels;
  }

 public:
  // dw: [K, kernel, kernel, C] in memory.
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
