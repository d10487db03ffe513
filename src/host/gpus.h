#ifndef FINETUNE_HOST_GPUS_H_
#define FINETUNE_HOST_GPUS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace finetune {

// The GPUs that this process may use.
struct Gpus {
  int count = 0;
  // The name of the first GPU: "NVIDIA H200".
  std::string name = {};
  // Whether the first GPU multiplies bfloat16 (compute capability 8 and later).
  bool bfloat16 = false;
  // The reason why there are none.
  std::string why_none;
};

// Returns the GPUs by asking the driver. It does not use a GPU.
Gpus VisibleGpus();

// Returns a clause on the GPU that the calling thread uses, for the ends of error messages: "the
// GPU is NVIDIA H200, 2.5 of its 139.8 GiB of memory are free". Returns "" where there is none or
// it does not answer.
std::string DescribeCurrentGpu();

// Returns that clause from its parts.
std::string DescribeGpu(const std::string& name, uint64_t free_bytes, uint64_t total_bytes);

// Returns `message` with such a clause in brackets behind it, or `message` alone where the clause
// is empty.
std::string WithGpu(absl::string_view message, absl::string_view description);

}  // namespace finetune

#endif  // FINETUNE_HOST_GPUS_H_
