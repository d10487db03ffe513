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
  // The reason why `count` is 0; empty where it is not.
  std::string why_none;
};

// Returns the GPUs that the driver reports. The GPUs themselves are not used.
Gpus VisibleGpus();

// Returns a clause about the GPU that the calling thread uses, for the end of an error message:
// "the GPU is NVIDIA H200, 2.5 of its 139.8 GiB of memory are free". Returns "" where there is no
// GPU or it does not answer.
std::string DescribeCurrentGpu();

// Returns DescribeCurrentGpu()'s clause for a GPU with these values.
std::string DescribeGpu(const std::string& name, uint64_t free_bytes, uint64_t total_bytes);

// Returns `message` followed by `description`, a clause of DescribeCurrentGpu(), in brackets.
// Returns `message` alone where `description` is empty.
std::string WithGpu(absl::string_view message, absl::string_view description);

}  // namespace finetune

#endif  // FINETUNE_HOST_GPUS_H_
