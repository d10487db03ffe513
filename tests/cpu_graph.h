#ifndef FINETUNE_TESTS_CPU_GRAPH_H_
#define FINETUNE_TESTS_CPU_GRAPH_H_

#include <cstdint>

namespace finetune {

// In programs that link it, LibTorch can record what the CPU is given to do, as it can with a GPU:
// nothing but LibTorch's operators is recorded, by the memory that they read and write, and
// recording leaves no trace in memory that was there before. Launches so far, over all graphs:
int64_t CpuGraphReplays();

}  // namespace finetune

#endif  // FINETUNE_TESTS_CPU_GRAPH_H_
