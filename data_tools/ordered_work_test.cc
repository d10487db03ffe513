#include "data_tools/ordered_work.h"

#include <atomic>

#include "gtest/gtest.h"

namespace finetune {
namespace {

TEST(OrderedWork, HandsResultsOutInOrderOnAnyNumberOfThreads) {
  for (const int threads : {1, 2, 7}) {
    OrderedWork<int64_t> work(100, threads, [] { return [](int64_t i) { return i * i; }; });
    for (int64_t i = 0; i < 100; ++i) EXPECT_EQ(work.Next(), i * i) << threads;
  }
}

TEST(OrderedWork, ComputesAtMostFourResultsAThreadAhead) {
  std::atomic<int64_t> begun = 0;
  OrderedWork<int64_t> work(100, 2, [&] {
    return [&](int64_t i) {
      ++begun;
      return i;
    };
  });
  for (int64_t i = 0; i < 50; ++i) {
    work.Next();
    EXPECT_LE(begun, i + 1 + 8);
  }
}

TEST(OrderedWork, EndsBeforeAllResultsAreTaken) {
  OrderedWork<int64_t> work(1000, 3, [] { return [](int64_t i) { return i; }; });
  EXPECT_EQ(work.Next(), 0);
}

}  // namespace
}  // namespace finetune
