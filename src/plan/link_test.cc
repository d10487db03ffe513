#include "src/plan/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ParseLink, KnowsStandardsByName) {
  const absl::StatusOr<Link> link = ParseLink("infiniband-hdr");
  ASSERT_TRUE(link.ok()) << link.status();
  EXPECT_EQ(link->name, "infiniband-hdr");
  EXPECT_DOUBLE_EQ(link->bytes_per_second, 25e9);
}

TEST(ParseLink, TakesALatencyBehindABandwidth) {
  const absl::StatusOr<Link> link = ParseLink("1Gbit,1.5ms");
  ASSERT_TRUE(link.ok()) << link.status();
  EXPECT_DOUBLE_EQ(link->bytes_per_second, 125e6);
  EXPECT_DOUBLE_EQ(link->latency_s, 1.5e-3);
}

TEST(ParseLink, TellsBitsFromBytesAndTakesAName) {
  const absl::StatusOr<Link> link = ParseLink("lab=2.5GB,8us");
  ASSERT_TRUE(link.ok()) << link.status();
  EXPECT_EQ(link->name, "lab");
  EXPECT_DOUBLE_EQ(link->bytes_per_second, 2.5e9);
  EXPECT_DOUBLE_EQ(link->latency_s, 8e-6);
}

TEST(ParseLink, SuggestsTheNearestName) {
  EXPECT_THAT(std::string(ParseLink("infinband-hdr").status().message()),
              HasSubstr("did you mean infiniband-hdr?"));
  EXPECT_THAT(std::string(ParseLink("carrier pigeon").status().message()),
              HasSubstr("the known ones are 1Gbit"));
}

TEST(ParseLink, RefusesOtherText) {
  for (const char* text : {"", "10Gbit,", "10Gbit,5", "10Gbit,-5us", "0Gbit", "10", "x=", "=10Gbit",
                           "10Gbit,5us,5us", "nanGbit", "1e400Gbit"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseLink(text).status())) << text;
  }
}

TEST(ParseRanks, SortsAndDropsRepeats) {
  const absl::StatusOr<std::vector<int>> ranks = ParseRanks("64,8,64,1");
  ASSERT_TRUE(ranks.ok()) << ranks.status();
  EXPECT_THAT(*ranks, ElementsAre(1, 8, 64));
}

TEST(ParseRanks, RefusesOtherText) {
  for (const char* text : {"", "8,", "0", "-1", "8;64", "1e3", "99999999"}) {
    EXPECT_THAT(std::string(ParseRanks(text).status().message()), HasSubstr("--ranks=")) << text;
  }
}

}  // namespace
}  // namespace finetune
