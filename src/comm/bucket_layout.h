#ifndef FINETUNE_COMM_BUCKET_LAYOUT_H_
#define FINETUNE_COMM_BUCKET_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "src/config/experiment.pb.h"

namespace finetune {

// Where each parameter's gradient lies in one flat float32 array, and where that array is cut into
// buckets. A bucket is a contiguous range of the array whose gradients one all-reduce sums.
struct BucketLayout {
  // offsets[p]: the index of parameter p's first element in the array, a multiple of 16 elements
  // (64 bytes). buckets[p]: the number of parameter p's bucket.
  std::vector<int64_t> offsets;
  std::vector<size_t> buckets;
  // ends[b]: one past the index of bucket b's last element. Bucket b begins at ends[b - 1], bucket
  // 0 at 0.
  std::vector<int64_t> ends;
};

// Lays out the gradients of the parameters. counts[p]: the number of float32 elements of parameter
// p. The parameters must be in the order in which backward computes their gradients.
//
// The limits hold for a bucket of several parameters; one large parameter may be a bucket on its
// own. The first bucket has at most config.first_bucket_mebibytes. A later bucket has at most
// config.bucket_mebibytes and at most half of the bytes that are not yet in a bucket, but may
// always have first_bucket_mebibytes where bucket_mebibytes allows it. So the last buckets are
// small: the last all-reduce starts when backward ends, and no computation hides the time that it
// takes.
BucketLayout LayOutBuckets(absl::Span<const int64_t> counts, const CommConfig& config);

}  // namespace finetune

#endif  // FINETUNE_COMM_BUCKET_LAYOUT_H_
