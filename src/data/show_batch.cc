#include "src/data/show_batch.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/upsample_bilinear2d.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/utf8.h"

namespace finetune {
namespace {

// Returns a value for each channel, as [1, C, 1, 1] float32.
at::Tensor PerChannel(const std::vector<double>& values) {
  return at::tensor(values, at::kDouble).to(at::kFloat).reshape({1, -1, 1, 1});
}

// Returns the first `count` images as bytes, [count, H, W, C] of the sheet's size, in memory of the
// CPU.
at::Tensor ToBytes(const at::Tensor& images, int64_t count, const PixelStatistics& statistics,
                   const ContactSheet& sheet) {
  at::Tensor shown = images.narrow(0, 0, count).to(at::TensorOptions(at::kCPU).dtype(at::kFloat));
  // Averages whole squares of pixels first. The rest, less than a factor of 2, needs no
  // antialiasing, which would take three times as long.
  const int64_t whole = std::min(shown.size(2) / sheet.height, shown.size(3) / sheet.width);
  if (whole > 1) shown = at::avg_pool2d(shown, {whole, whole});
  if (shown.size(2) != sheet.height || shown.size(3) != sheet.width) {
    shown = at::upsample_bilinear2d(shown, {sheet.height, sheet.width}, /*align_corners=*/false);
  }
  if (!statistics.mean.empty()) {
    shown = shown * PerChannel(statistics.std) + PerChannel(statistics.mean);
  }
  return shown.clamp(0, 255).round().to(at::kByte).permute({0, 2, 3, 1}).contiguous();
}

// Returns "cat", or "70 % cat, 30 % dog" for a mixed image. All tensors are on the CPU.
std::string ClassesOf(const at::Tensor& labels, const at::Tensor& partner_labels,
                      const at::Tensor& mixing, int64_t row, const DatasetManifest& manifest) {
  const auto name = [&](const at::Tensor& classes) {
    return ValidUtf8(manifest.class_name(static_cast<int>(classes[row].item<int64_t>())));
  };
  const std::string own = name(labels);
  if (!partner_labels.defined()) return own;
  const std::string other = name(partner_labels);
  if (own == other) return own;
  const double share = mixing[0].item<double>();
  return absl::StrFormat("%.0f %% %s, %.0f %% %s", 100 * share, own, 100 * (1 - share), other);
}

at::Tensor OnCpu(const at::Tensor& tensor) { return tensor.defined() ? tensor.cpu() : tensor; }

}  // namespace

ContactSheet SheetFor(const BatchLoader& loader, int most_side) {
  ContactSheet sheet;
  sheet.height = loader.pipeline().height();
  sheet.width = loader.pipeline().width();
  sheet.channels = loader.pipeline().channels();
  const int longer = std::max(sheet.height, sheet.width);
  if (most_side <= 0 || longer <= most_side) return sheet;
  const auto scale = [&](int side) {
    return std::max(1, static_cast<int>(std::lround(double{1} * side * most_side / longer)));
  };
  sheet.height = scale(sheet.height);
  sheet.width = scale(sheet.width);
  return sheet;
}

void AddToSheet(const BatchLoader& loader, const Batch& batch, const at::Tensor& images,
                size_t most, ContactSheet* sheet) {
  if (sheet->images.size() >= most) return;
  const int64_t count = std::min(images.size(0), static_cast<int64_t>(most - sheet->images.size()));
  if (count == 0) return;
  const at::Tensor bytes = ToBytes(images, count, loader.pipeline().statistics(), *sheet);
  const at::Tensor labels = OnCpu(batch.labels), partner_labels = OnCpu(batch.partner_labels),
                   mixing = OnCpu(batch.mixing);
  const int64_t size = bytes.numel() / count;
  for (int64_t row = 0; row < count; ++row) {
    const uint8_t* begin = bytes.const_data_ptr<uint8_t>() + row * size;
    sheet->images.push_back(
        {{begin, begin + size},
         absl::StrCat(batch.indices[row] % loader.sampler().images, ": ",
                      ClassesOf(labels, partner_labels, mixing, row, loader.manifest()))});
  }
}

}  // namespace finetune
