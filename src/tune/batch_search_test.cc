#include "src/tune/batch_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;

// A machine on which passes of up to `most` images fit. It remembers the sizes that were tried.
struct Machine {
  int64_t most;
  std::vector<int64_t> tried = {};

  MeasurePass Measure() {
    return [this](int64_t size) -> absl::StatusOr<PassMeasurement> {
      tried.push_back(size);
      if (size > most) return absl::ResourceExhaustedError("too large");
      return PassMeasurement{.micro_batch = size, .pass_s = 1, .rest_s = 1};
    };
  }
};

TEST(SizesToTry, DoubleAndIncludeTheRanksBatchAndTheLast) {
  EXPECT_THAT(SizesToTry(1, 32, 8), ElementsAre(1, 2, 4, 8, 16, 32));
  EXPECT_THAT(SizesToTry(1, 20, 6), ElementsAre(1, 2, 4, 6, 8, 16, 20));
  EXPECT_THAT(SizesToTry(3, 12, 100), ElementsAre(3, 6, 12));
  EXPECT_THAT(SizesToTry(5, 5, 5), ElementsAre(5));
}

TEST(SearchSizes, BisectsToTheLargestThatFits) {
  for (int64_t most = 1; most <= 16; ++most) {
    Machine machine{most};
    const absl::StatusOr<FoundSizes> found = SearchSizes(SizesToTry(1, 64, 0), machine.Measure());
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->fitting.back().micro_batch, most);
    EXPECT_THAT(found->too_large, Optional(most + 1));
  }
}

TEST(SearchSizes, EndsTheBisectionAtASixteenth) {
  Machine machine{300};
  const absl::StatusOr<FoundSizes> found = SearchSizes(SizesToTry(64, 1024, 0), machine.Measure());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(machine.tried, ElementsAre(64, 128, 256, 512, 384, 320, 288, 304));
  EXPECT_EQ(found->fitting.back().micro_batch, 288);
  EXPECT_THAT(found->too_large, Optional(304));
}

TEST(SearchSizes, TriesNothingLargerThanTheFirstThatDoesNotFit) {
  Machine machine{2};
  ASSERT_TRUE(SearchSizes({1, 2, 3, 64}, machine.Measure()).ok());
  EXPECT_THAT(machine.tried, ElementsAre(1, 2, 3));
}

TEST(SearchSizes, KnowsWhenAllFit) {
  Machine machine{1000};
  const absl::StatusOr<FoundSizes> found = SearchSizes({4, 8}, machine.Measure());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->fitting.size(), 2u);
  EXPECT_EQ(found->too_large, std::nullopt);
}

TEST(SearchSizes, FailsWhereNothingFitsOrMeasuringFails) {
  Machine machine{0};
  EXPECT_TRUE(absl::IsResourceExhausted(SearchSizes({1, 2}, machine.Measure()).status()));
  EXPECT_THAT(machine.tried, ElementsAre(1));
  const auto fails = [](int64_t size) -> absl::StatusOr<PassMeasurement> {
    if (size == 2) return absl::InternalError("the network is down");
    return PassMeasurement{.micro_batch = size};
  };
  EXPECT_EQ(SearchSizes({1, 2, 4}, fails).status().code(), absl::StatusCode::kInternal);
}

// 100 images on 3 ranks: the largest part has 34.
constexpr BatchFacts kFacts = {.total_batch = 100, .rank_batch = 34, .ranks = 3};

TEST(RowOf, KeepsTheTotalBatchByAccumulation) {
  const IterationRow row = RowOf({.micro_batch = 8, .pass_s = 4, .rest_s = 3}, kFacts);
  EXPECT_EQ(row.total_batch, 100);
  EXPECT_EQ(row.passes, 5);
  EXPECT_DOUBLE_EQ(row.seconds, 34 / 8.0 * 4 + 3);
  EXPECT_DOUBLE_EQ(row.images_per_s, 100 / row.seconds);
}

TEST(RowOf, TakesALargerTotalBatchForALargerPass) {
  const IterationRow row = RowOf({.micro_batch = 64, .pass_s = 10, .rest_s = 2}, kFacts);
  EXPECT_EQ(row.total_batch, 192);
  EXPECT_EQ(row.passes, 1);
  EXPECT_DOUBLE_EQ(row.seconds, 12);
}

TEST(FastestRow, IsTheSmallestThatIsAsFastAndKeepsTheTotalBatch) {
  const auto row = [](int64_t size, double speed) {
    IterationRow row;
    row.micro_batch = size;
    row.images_per_s = speed;
    return row;
  };
  EXPECT_THAT(FastestRow({row(8, 90), row(16, 99), row(32, 100), row(64, 500)}, kFacts),
              Optional(1u));
  EXPECT_THAT(FastestRow({row(8, 90), row(16, 97), row(32, 100)}, kFacts), Optional(2u));
  EXPECT_EQ(FastestRow({row(64, 100)}, kFacts), std::nullopt);
}

}  // namespace
}  // namespace finetune
