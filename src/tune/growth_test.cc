#include "src/tune/growth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/comm/single_communicator.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMebibyte = 1 << 20;

TEST(Growth, ForeseesAPassInProportionToItsImages) {
  EXPECT_EQ(ForeseenBytes(/*base=*/100, /*earlier=*/8, /*peak=*/140, /*images=*/16), 180);
  EXPECT_EQ(ForeseenBytes(/*base=*/100, /*earlier=*/8, /*peak=*/140, /*images=*/12), 160);
  // The peak was reached before the pass, so the pass itself is not seen.
  EXPECT_EQ(ForeseenBytes(/*base=*/100, /*earlier=*/8, /*peak=*/90, /*images=*/16), 100);
}

TEST(Growth, RanksOfAHostShareItsMemory) {
  const std::vector<MemoryLimit> host = {{"the host", 1000 * kMebibyte}};
  std::vector<RankGrowth> ranks = {{450 * kMebibyte, "a", host}, {450 * kMebibyte, "a", host}};
  EXPECT_TRUE(CheckGrowth(ranks).ok());
  ranks[1].bytes = 460 * kMebibyte;
  const absl::Status full = CheckGrowth(ranks);
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(full.message(),
            "2 ranks on a would need 910 MiB more, and the host has 1000 MiB free, of which a "
            "tenth is left to others");
  ranks[1].host = "b";
  EXPECT_TRUE(CheckGrowth(ranks).ok());
}

TEST(Growth, TheTightestLimitDecides) {
  const std::vector<RankGrowth> ranks = {
      {100 * kMebibyte, "a", {{"the host", 9000 * kMebibyte}, {"the cgroup /job", 90 * kMebibyte}}},
      {0, "b", {{"the host", 0}}}};
  EXPECT_THAT(CheckGrowth(ranks).message(), HasSubstr("the cgroup /job has 90 MiB free"));
}

TEST(Growth, ARankThatGrowsNoMoreFitsEverywhere) {
  EXPECT_TRUE(CheckGrowth({{0, "a", {{"the host", 0}}}, {5, "b", {}}}).ok());
}

TEST(Growth, ChecksThisHost) {
  SingleCommunicator alone;
  EXPECT_TRUE(CheckGrowthOfAll(0, &alone).ok());
  EXPECT_EQ(CheckGrowthOfAll(int64_t{1} << 50, &alone).code(),
            absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace finetune
