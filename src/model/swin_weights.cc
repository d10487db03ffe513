#include "src/model/swin_weights.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/upsample_bicubic2d.h>

#include <cmath>

namespace finetune {
namespace {

// Returns a table [(2 * side - 1)^2, heads] as maps [heads, 2 * side - 1, 2 * side - 1], by the
// vertical and the horizontal distance between a query and a key.
at::Tensor MapsOf(const at::Tensor& table, int64_t side) {
  return table.t().reshape({table.size(1), 2 * side - 1, 2 * side - 1});
}

}  // namespace

int64_t WindowOfBiasTable(const at::Tensor& table) {
  constexpr int64_t kMostRows = (2 * kMostWindow - 1) * (2 * kMostWindow - 1);
  if (table.dim() != 2 || table.size(1) < 1 || !table.is_floating_point()) return 0;
  const int64_t rows = table.size(0);
  if (rows < 1 || rows > kMostRows) return 0;
  const auto distances = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(rows))));
  return distances * distances == rows && distances % 2 == 1 ? (distances + 1) / 2 : 0;
}

at::Tensor BiasOfPairs(const at::Tensor& table, int64_t side) {
  // The vertical distance of a query in row q and a key in row k has the place q - k + side - 1 in
  // the map. So the keys of query q have the `side` places from q on, the last key first. The same
  // holds for columns.
  const int64_t patches = side * side;
  return MapsOf(table, side)
      .unfold(1, side, 1)
      .unfold(2, side, 1)
      .flip({3, 4})
      .reshape({table.size(1), patches, patches});
}

at::Tensor RelativePositionIndex(int64_t side) {
  const at::Tensor rows = at::arange((2 * side - 1) * (2 * side - 1), at::kLong).unsqueeze(1);
  return BiasOfPairs(rows, side).squeeze(0);
}

at::Tensor ResampleBiasTable(const at::Tensor& table, int64_t side) {
  const at::Tensor maps = MapsOf(table.to(at::kFloat), WindowOfBiasTable(table)).unsqueeze(0);
  const int64_t size[] = {2 * side - 1, 2 * side - 1};
  return at::upsample_bicubic2d(maps, size, /*align_corners=*/false)
      .squeeze(0)
      .flatten(1)
      .t()
      .contiguous();
}

at::Tensor ToUnfoldOrder(const at::Tensor& merging) {
  return merging.unflatten(-1, {2, 2, -1}).transpose(-1, -3).flatten(-3).contiguous();
}

at::Tensor FromUnfoldOrder(const at::Tensor& merging) {
  return merging.unflatten(-1, {-1, 2, 2}).transpose(-1, -3).flatten(-3).contiguous();
}

}  // namespace finetune
