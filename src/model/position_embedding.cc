#include "src/model/position_embedding.h"

#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/upsample_bicubic2d.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <optional>

namespace finetune {
namespace {

// Returns the side of a square of `count` patches; 0 where `count` is not a square.
int64_t SideOf(int64_t count) {
  const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(count))));
  return side * side == count ? side : 0;
}

// Interpolates maps [1, C, H, W] to [1, C, side, side].
at::Tensor Interpolate(const at::Tensor& maps, int64_t side, PositionSource source) {
  const int64_t size[] = {side, side};
  switch (source) {
    case PositionSource::kMmpretrain:
      return at::upsample_bicubic2d(maps, size, /*align_corners=*/false);
    case PositionSource::kTorchvision:
      return at::upsample_bicubic2d(maps, size, /*align_corners=*/true);
    case PositionSource::kTimm:
    case PositionSource::kDinoV2WithRegisters:
      return at::_upsample_bicubic2d_aa(maps, size, /*align_corners=*/false);
    case PositionSource::kDinoV2:
      break;
  }
  const double scale = (static_cast<double>(side) + 0.1) / static_cast<double>(maps.size(2));
  return at::upsample_bicubic2d(maps, size, /*align_corners=*/false, scale, scale);
}

}  // namespace

std::string Describe(PositionSource source) {
  switch (source) {
    case PositionSource::kMmpretrain:
      return "mmpretrain (bicubic)";
    case PositionSource::kTorchvision:
      return "torchvision (bicubic with aligned corners)";
    case PositionSource::kTimm:
      return "timm (bicubic with antialias)";
    case PositionSource::kDinoV2WithRegisters:
      return "DINOv2 with registers (bicubic with antialias)";
    case PositionSource::kDinoV2:
      break;
  }
  return "DINOv2 (bicubic, scaled by 0.1 patches more)";
}

int64_t PositionSide(const at::Tensor& positions) {
  if (positions.dim() != 3 || positions.size(0) != 1 || positions.size(1) < 1 ||
      positions.size(2) < 1 || !positions.is_floating_point()) {
    return 0;
  }
  // A square and the number that follows it are not both squares of 1 or more.
  const int64_t tokens = positions.size(1), with_class = SideOf(tokens - 1);
  return with_class > 0 ? with_class : SideOf(tokens);
}

at::Tensor ResamplePositions(const at::Tensor& positions, int64_t side, PositionSource source) {
  const int64_t old_side = PositionSide(positions), patches = old_side * old_side;
  const int64_t channels = positions.size(2), tokens = positions.size(1);
  const at::Tensor given = positions.to(at::kFloat);
  const at::Tensor of_class =
      tokens > patches ? given.slice(1, 0, 1) : at::zeros({1, 1, channels}, given.options());
  at::Tensor of_patches = given.slice(1, tokens - patches);
  if (side != old_side) {
    const at::Tensor maps =
        of_patches.reshape({1, old_side, old_side, channels}).permute({0, 3, 1, 2});
    of_patches = Interpolate(maps, side, source).permute({0, 2, 3, 1}).flatten(1, 2);
  }
  return at::cat({of_class, of_patches}, 1);
}

}  // namespace finetune
