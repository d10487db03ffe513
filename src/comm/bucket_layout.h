#ifndef FINETUNE_COMM_BUCKET_LAYOUT_H_
#define FINETUNE_COMM_BUCKET_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "src/config/experiment.pb.h"

namespace finetune {

// Where gradients lie in flat memory and where that is cut into buckets.
struct BucketLayout {
  // By parameter: its first element, a multiple of 64 bytes, and its bucket.
  std::vector<int64_t> offsets;
  std::vector<size_t> buckets;
  // By bucket: the element behind its last.
  std::vector<int64_t> ends;
};

// `counts`: the parameters' elements (float32) in the order in which their gradients come. A bucket
// of several parameters stays within config.bucket_mebibytes, and the first within
// first_bucket_mebibytes. Each later one takes half of what is left at most, or
// first_bucket_mebibytes: nothing hides the last one's all-reduce, which starts as backward ends.
BucketLayout LayOutBuckets(absl::Span<const int64_t> counts, const CommConfig& config);

}  // namespace finetune

#endif  // FINETUNE_COMM_BUCKET_LAYOUT_H_
