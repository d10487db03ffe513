#include "src/tune/batch_search.h"

#include <algorithm>

#include "src/base/ceil_divide.h"

namespace finetune {
namespace {

constexpr double kSameSpeed = 0.98;

}  // namespace

std::vector<int64_t> SizesToTry(int64_t from, int64_t to, int64_t rank_batch) {
  std::vector<int64_t> sizes;
  for (int64_t size = from; size < to; size *= 2) sizes.push_back(size);
  sizes.push_back(to);
  if (rank_batch > from && rank_batch < to) sizes.push_back(rank_batch);
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  return sizes;
}

absl::StatusOr<FoundSizes> SearchSizes(const std::vector<int64_t>& sizes,
                                       const MeasurePass& measure) {
  FoundSizes found;
  // Returns whether the size fits.
  const auto try_size = [&](int64_t size) -> absl::StatusOr<bool> {
    absl::StatusOr<PassMeasurement> measured = measure(size);
    if (absl::IsResourceExhausted(measured.status()) &&
        !(found.fitting.empty() && size == sizes.front())) {
      found.too_large = size;
      return false;
    }
    FT_RETURN_IF_ERROR(measured.status());
    found.fitting.push_back(*measured);
    return true;
  };
  for (const int64_t size : sizes) {
    FT_ASSIGN_OR_RETURN(const bool fits, try_size(size));
    if (!fits) break;
  }
  while (found.too_large.has_value()) {
    const int64_t low = found.fitting.back().micro_batch;
    if (*found.too_large - low <= std::max<int64_t>(1, low / 16)) break;
    FT_RETURN_IF_ERROR(try_size(low + (*found.too_large - low) / 2).status());
  }
  return found;
}

IterationRow RowOf(const PassMeasurement& measurement, const BatchFacts& facts) {
  IterationRow row;
  row.micro_batch = measurement.micro_batch;
  row.memory_mebibytes = measurement.memory_mebibytes;
  const bool keeps = row.micro_batch <= facts.rank_batch;
  row.total_batch = keeps ? facts.total_batch : row.micro_batch * facts.ranks;
  row.passes = keeps ? CeilDivide(facts.rank_batch, row.micro_batch) : 1;
  // Passes of an iteration are equal, so they may have fewer images than the micro-batch. Their
  // time is taken in proportion to their images.
  const double share =
      keeps ? static_cast<double>(facts.rank_batch) / static_cast<double>(row.micro_batch) : 1;
  row.seconds = share * measurement.pass_s + measurement.rest_s;
  row.images_per_s = static_cast<double>(row.total_batch) / row.seconds;
  return row;
}

std::optional<size_t> FastestRow(const std::vector<IterationRow>& rows, const BatchFacts& facts) {
  double best = 0;
  for (const IterationRow& row : rows) {
    if (row.micro_batch <= facts.rank_batch) best = std::max(best, row.images_per_s);
  }
  std::optional<size_t> fastest;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].micro_batch > facts.rank_batch || rows[i].images_per_s < kSameSpeed * best) {
      continue;
    }
    if (!fastest.has_value() || rows[i].micro_batch < rows[*fastest].micro_batch) fastest = i;
  }
  return fastest;
}

}  // namespace finetune
