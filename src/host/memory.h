#ifndef FINETUNE_HOST_MEMORY_H_
#define FINETUNE_HOST_MEMORY_H_

#include <cstdint>
#include <string>
#include <vector>

namespace finetune {

// A limit on the memory of this process and of others: Linux kills one of them that exceeds it.
struct MemoryLimit {
  std::string name;        // "the host" or "the cgroup /slurm/job_12"
  int64_t free_bytes = 0;  // the bytes that all processes under the limit can still take
  // The limit itself: the bytes that all processes under it can take together.
  int64_t total_bytes = 0;
};

// Returns the limits that this process is under: the host's memory, and each cgroup with a limit
// (version 1 or 2). Memory that only caches files counts as free. A limit that cannot be read is
// left out. `root`: the folder in which /proc and /sys are sought; "" for the real ones.
std::vector<MemoryLimit> FindMemoryLimits(const std::string& root = "");

// Returns the bytes of memory that this process occupies now; 0 where /proc does not say.
int64_t ResidentBytes();

}  // namespace finetune

#endif  // FINETUNE_HOST_MEMORY_H_
