#include "src/ops/shares.h"

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace finetune {
namespace {

using Ranges = std::vector<std::pair<int64_t, int64_t>>;

Ranges TakeAll(Shares* shares, int64_t worker, int64_t most) {
  Ranges taken;
  while (const auto range = shares->Take(worker, most)) {
    taken.emplace_back(range->begin, range->end);
  }
  return taken;
}

TEST(Shares, AWorkerGoesThroughItsOwnShareAndThenFromTheEndOfTheOthers) {
  Shares shares(20, 2);
  EXPECT_EQ(shares.Take(1, 3)->begin, 10);
  EXPECT_EQ(TakeAll(&shares, 0, 4), (Ranges{{0, 4}, {4, 8}, {8, 10}, {16, 20}, {13, 16}}));
  EXPECT_FALSE(shares.Take(1, 1).has_value());
}

TEST(Shares, ThereMayBeFewerItemsThanWorkersOrNone) {
  Shares two(2, 3);
  EXPECT_EQ(TakeAll(&two, 0, 8), (Ranges{{0, 1}, {1, 2}}));
  Shares none(0, 3);
  EXPECT_FALSE(none.Take(2, 1).has_value());
}

TEST(Shares, EachItemIsTakenOnceWhoeverIsFaster) {
  constexpr int64_t kItems = 100000, kWorkers = 4;
  Shares shares(kItems, kWorkers);
  std::vector<std::atomic<int>> taken(kItems);
  std::vector<std::thread> workers;
  for (int64_t worker = 0; worker < kWorkers; ++worker) {
    workers.emplace_back([&, worker] {
      while (const auto range = shares.Take(worker, 1 + 2 * worker)) {
        for (int64_t i = range->begin; i < range->end; ++i) ++taken[i];
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  for (int64_t i = 0; i < kItems; ++i) ASSERT_EQ(taken[i], 1) << i;
}

TEST(ForShares, RunsOnNoMoreThreadsThanHaveAGrain) {
  at::set_num_threads(4);
  for (const int64_t count : {0, 5, 25, 1000}) {
    std::atomic<int64_t> workers = 0, items = 0;
    ForShares(count, /*grain=*/10, [&](const auto& take) {
      ++workers;
      while (const auto range = take(3)) items += range->end - range->begin;
    });
    EXPECT_EQ(items, count);
    EXPECT_EQ(workers, count < 20 ? 1 : count < 30 ? 2 : 4) << count;
  }
}

}  // namespace
}  // namespace finetune
