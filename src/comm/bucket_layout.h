#ifndef FINETUNE_COMM_BUCKET_LAYOUT_H_
#define FINETUNE_COMM_BUCKET_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "src/config/experiment.pb.h"

namespace finetune {

// The places of gradients in flat memory, and of the cuts into buckets.
struct BucketLayout {
  // By parameter: its first element, a multiple of 64 bytes, and its bucket.
  std::vector<int64_t> offsets;
  std::vector<size_t> buckets;
  // By bucket: one past its last element.
  std::vector<int64_t> ends;
};

// Lays out parameters of `counts` elements (float32), which are in the order in which their
// gradients arrive. A bucket of several parameters has at most config.bucket_mebibytes, and the
// first bucket at most first_bucket_mebibytes. A later bucket takes at most half of the remaining
// bytes, but never less than first_bucket_mebibytes: the last all-reduce starts when backward ends,
// so no computation hides it, and it must be small.
BucketLayout LayOutBuckets(absl::Span<const int64_t> counts, const CommConfig& config);

}  // namespace finetune

#endif  // FINETUNE_COMM_BUCKET_LAYOUT_H_
