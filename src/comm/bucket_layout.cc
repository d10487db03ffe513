#include "src/comm/bucket_layout.h"

namespace finetune {
namespace {

// Elements in 64 bytes.
constexpr int64_t kAlignment = 16;

}  // namespace

BucketLayout LayOutBuckets(absl::Span<const int64_t> counts, const CommConfig& config) {
  BucketLayout layout;
  int64_t total = 0;
  int64_t begin = 0;
  size_t buckets = 0;
  for (const int64_t n : counts) {
    const double mebibytes =
        buckets <= 1 ? config.first_bucket_mebibytes() : config.bucket_mebibytes();
    const auto limit = static_cast<int64_t>(mebibytes * (1 << 20) / sizeof(float));
    if (buckets == 0 || total + n - begin > limit) {
      if (buckets > 0) layout.ends.push_back(total);
      begin = total;
      ++buckets;
    }
    layout.offsets.push_back(total);
    layout.buckets.push_back(buckets - 1);
    total += (n + kAlignment - 1) / kAlignment * kAlignment;
  }
  if (buckets > 0) layout.ends.push_back(total);
  return layout;
}

}  // namespace finetune
