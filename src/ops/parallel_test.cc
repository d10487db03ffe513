#include <ATen/Parallel.h>

#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace finetune {
namespace {

// at::parallel_for is a template. Where it is compiled without -fopenmp it silently runs on one
// thread.
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

// Our code and LibTorch must share one OpenMP runtime and its threads: two pools would compete for
// the cores.
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
