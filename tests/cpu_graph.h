#ifndef FINETUNE_TESTS_CPU_GRAPH_H_
#define FINETUNE_TESTS_CPU_GRAPH_H_

#include <cstdint>

namespace finetune {

// In programs that link this, LibTorch can record work of the CPU as it can record a GPU's. Only
// LibTorch's operators are recorded, by the memory that they read and write. Recording does not
// change memory that was there before. CpuGraphReplays() returns the launches so far of all graphs.
int64_t CpuGraphReplays();

}  // namespace finetune

#endif  // FINETUNE_TESTS_CPU_GRAPH_H_
