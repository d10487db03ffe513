#ifndef FINETUNE_HOST_GPUS_H_
#define FINETUNE_HOST_GPUS_H_

#include <cstdint>
#include <string>

namespace finetune {

// The GPUs that this process may use.
struct Gpus {
  int count = 0;
  // The first one's name: "NVIDIA H200".
  std::string name = {};
  // Whether the first multiplies bfloat16 (compute capability 8 and later).
  bool bfloat16 = false;
  // The reason where there are none.
  std::string why_none;
};

// Asks the driver; touches no GPU.
Gpus VisibleGpus();

// The GPU that the calling thread uses, for the ends of error messages: "the GPU is NVIDIA
// H200, 2.5 of its 139.8 GiB of memory are free". Empty where there is none, or it does not answer
// any more.
std::string DescribeCurrentGpu();

// DescribeCurrentGpu()'s sentence.
std::string DescribeGpu(const std::string& name, uint64_t free_bytes, uint64_t total_bytes);

}  // namespace finetune

#endif  // FINETUNE_HOST_GPUS_H_
