#ifndef FINETUNE_TESTS_CPU_GRAPH_H_
#define FINETUNE_TESTS_CPU_GRAPH_H_

#include <cstdint>

namespace finetune {

// Lets LibTorch record work of the CPU as it records a GPU's work, in programs that link this file.
// Only LibTorch's operators are recorded, with the memory that they read and write. A recording
// does not change memory that existed before it. CpuGraphReplays() returns the number of times that
// any graph was launched so far.
int64_t CpuGraphReplays();

}  // namespace finetune

#endif  // FINETUNE_TESTS_CPU_GRAPH_H_
