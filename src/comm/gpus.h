#ifndef FINETUNE_COMM_GPUS_H_
#define FINETUNE_COMM_GPUS_H_

#include <string>

namespace finetune {

// The GPUs that this process may use.
struct Gpus {
  int count = 0;
  // Of the first: "NVIDIA H200".
  std::string name = {};
  // Whether the first multiplies bfloat16 (compute capability 8 and later).
  bool bfloat16 = false;
  // Where there are none: why.
  std::string why_none;
};

// Asks the driver; touches no GPU.
Gpus VisibleGpus();

}  // namespace finetune

#endif  // FINETUNE_COMM_GPUS_H_
