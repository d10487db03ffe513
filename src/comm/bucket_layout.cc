#include "src/comm/bucket_layout.h"

#include <algorithm>

namespace finetune {
namespace {

// The number of float32 elements in 64 bytes. Each parameter begins at a multiple of it.
constexpr int64_t kAlignment = 16;

int64_t Padded(int64_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

int64_t ElementsIn(double mebibytes) {
  return static_cast<int64_t>(mebibytes * (1 << 20) / sizeof(float));
}

}  // namespace

BucketLayout LayOutBuckets(absl::Span<const int64_t> counts, const CommConfig& config) {
  const int64_t most = ElementsIn(config.bucket_mebibytes());
  const int64_t first = ElementsIn(config.first_bucket_mebibytes());
  BucketLayout layout;
  int64_t all = 0;
  for (const int64_t n : counts) all += Padded(n);
  int64_t total = 0;
  int64_t begin = 0;
  int64_t limit = first;
  size_t buckets = 0;
  for (const int64_t n : counts) {
    if (buckets == 0 || total + n - begin > limit) {
      if (buckets > 0) {
        layout.ends.push_back(total);
        limit = std::min(most, std::max(first, (all - total) / 2));
      }
      begin = total;
      ++buckets;
    }
    layout.offsets.push_back(total);
    layout.buckets.push_back(buckets - 1);
    total += Padded(n);
  }
  if (buckets > 0) layout.ends.push_back(total);
  return layout;
}

}  // namespace finetune
