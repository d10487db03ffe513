#include <ATen/Parallel.h>

#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace finetune {
namespace {

// LibTorch's template is a plain loop where it is compiled without -fopenmp, and nothing says so.
TEST(ParallelFor, RunsOnSeveralThreads) {
  at::set_num_threads(2);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  at::parallel_for(0, 2, 1, [&](int64_t /*begin*/, int64_t /*end*/) {
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(threads.size(), 2);
}

// Ours and LibTorch's threads are those of one pool: two would fight for the cores.
TEST(ParallelFor, HasOneRuntimeInTheProcess) {
  at::set_num_threads(2);
  at::parallel_for(0, 2, 1, [](int64_t, int64_t) {});
  std::set<std::string> runtimes;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const size_t path = line.find('/');
    if (path != std::string::npos &&
        (line.find("libgomp") != std::string::npos || line.find("libiomp") != std::string::npos ||
         line.find("libomp.so") != std::string::npos)) {
      runtimes.insert(line.substr(path));
    }
  }
  EXPECT_EQ(runtimes.size(), 1) << testing::PrintToString(runtimes);
}

}  // namespace
}  // namespace finetune
