#include "src/comm/watchdog/stall_detector.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using testing::HasSubstr;
using testing::Not;

const absl::Time kStart = absl::FromUnixSeconds(1000);
absl::Time At(double seconds) { return kStart + absl::Seconds(seconds); }

StallDetector Detector(int ranks = 3) {
  std::vector<std::string> hosts = {"a", "b", "c", "d"};
  hosts.resize(ranks);
  return StallDetector({absl::Seconds(30), absl::Seconds(600), absl::Seconds(5)}, hosts, /*rank=*/0,
                       /*center=*/0, kStart);
}

Heartbeat Beat(int64_t entered, int64_t finished, std::string activity = "iteration 7: forward") {
  return {entered, finished, "all-reduce", std::move(activity)};
}

TEST(StallDetectorTest, ARankThatTheOthersWaitForIsNamedWithWhatItDoes) {
  StallDetector detector = Detector();
  for (int t = 0; t <= 30; ++t) {
    detector.Hear(0, Beat(5, 4), At(t));
    detector.Hear(1, Beat(5, 4), At(t));
    detector.Hear(2, Beat(4, 4, "iteration 7: loading data"), At(t));
    if (t == 30) break;
    ASSERT_FALSE(detector.Check(At(t)).has_value()) << t;
  }
  auto finding = detector.Check(At(30));
  ASSERT_TRUE(finding.has_value());
  EXPECT_FALSE(finding->fatal);
  EXPECT_EQ(finding->message,
            "rank 2 (host c) has not come to collective 5 (all-reduce) for 30 s; it is at: "
            "iteration 7: loading data");
}

TEST(StallDetectorTest, ASilentRankIsSaidToBeSilent) {
  StallDetector detector = Detector();
  detector.Hear(2, Beat(4, 4), At(0));
  for (int t = 0; t <= 31; ++t) {
    for (int rank : {0, 1}) detector.Hear(rank, Beat(5, 4), At(t));
    auto finding = detector.Check(At(t));
    if (t < 30) {
      ASSERT_FALSE(finding.has_value()) << t;
    } else if (t == 30) {
      ASSERT_TRUE(finding.has_value());
      EXPECT_THAT(finding->message, HasSubstr("rank 2 (host c)"));
      EXPECT_THAT(finding->message, HasSubstr("not heard of for 30 s"));
      EXPECT_THAT(finding->message, HasSubstr("it was at: iteration 7: forward"));
    }
  }
}

TEST(StallDetectorTest, ASlowRankThatGoesOnIsNotStalled) {
  StallDetector detector = Detector(2);
  for (int t = 0; t < 300; ++t) {
    detector.Hear(0, Beat(t / 20 + 1, t / 20), At(t));
    detector.Hear(1, Beat(t / 20, t / 20), At(t));
    ASSERT_FALSE(detector.Check(At(t)).has_value()) << t;
  }
}

TEST(StallDetectorTest, RanksThatComputeForLongAreNotStalled) {
  StallDetector detector = Detector();
  for (int t = 0; t < 3000; t += 10) {
    for (int rank : {0, 1, 2}) detector.Hear(rank, Beat(5, 5), At(t));
    ASSERT_FALSE(detector.Check(At(t)).has_value());
  }
}

TEST(StallDetectorTest, WarnsAtGrowingIntervalsThenGivesUp) {
  StallDetector detector = Detector(2);
  std::vector<int> warned;
  for (int t = 0; t < 700; ++t) {
    detector.Hear(0, Beat(5, 4), At(t));
    detector.Hear(1, Beat(4, 4), At(t));
    auto finding = detector.Check(At(t));
    if (!finding.has_value()) continue;
    if (finding->fatal) {
      EXPECT_EQ(t, 600);
      EXPECT_THAT(finding->message, HasSubstr("rank 1 (host b)"));
      EXPECT_THAT(finding->message, HasSubstr("comm.timeout_seconds"));
      EXPECT_THAT(warned, testing::ElementsAre(30, 60, 120, 240, 480));
      return;
    }
    warned.push_back(t);
  }
  FAIL() << "never gave up";
}

TEST(StallDetectorTest, AnotherStallIsReportedAnew) {
  StallDetector detector = Detector(2);
  int reports = 0;
  for (int stall = 0; stall < 3; ++stall) {
    for (int t = stall * 100; t < stall * 100 + 50; ++t) {
      detector.Hear(0, Beat(5 + stall, 4 + stall), At(t));
      detector.Hear(1, Beat(4 + stall, 4 + stall), At(t));
      reports += detector.Check(At(t)).has_value();
    }
    for (int t = stall * 100 + 50; t < stall * 100 + 100; ++t) {
      for (int rank : {0, 1}) detector.Hear(rank, Beat(5 + stall, 5 + stall), At(t));
      EXPECT_FALSE(detector.Check(At(t)).has_value());
    }
  }
  EXPECT_EQ(reports, 3);
}

TEST(StallDetectorTest, ARankLostInsideACollectiveIsNamed) {
  StallDetector detector = Detector();
  detector.Hear(1, Beat(5, 4), At(0));
  for (int t = 0; t <= 40; ++t) {
    for (int rank : {0, 2}) detector.Hear(rank, Beat(5, 4), At(t));
    auto finding = detector.Check(At(t));
    if (!finding.has_value()) continue;
    EXPECT_EQ(t, 30);
    EXPECT_THAT(finding->message, HasSubstr("rank 1 (host b) holds up collective 5"));
    EXPECT_THAT(finding->message, Not(HasSubstr("rank 2")));
    return;
  }
  FAIL() << "not reported";
}

TEST(StallDetectorTest, ACollectiveThatNobodyLeavesIsReportedThoughAllLive) {
  StallDetector detector = Detector();
  for (int t = 0; t <= 30; ++t) {
    for (int rank : {0, 1, 2}) detector.Hear(rank, Beat(5, 4), At(t));
    auto finding = detector.Check(At(t));
    if (t == 30) {
      ASSERT_TRUE(finding.has_value());
      EXPECT_EQ(finding->message,
                "collective 5 (all-reduce) has not ended for 30 s though every rank came to it");
    }
  }
}

TEST(StallDetectorTest, AllLateRanksAreNamed) {
  StallDetector detector = Detector(4);
  for (int t = 0; t <= 30; ++t) {
    detector.Hear(0, Beat(5, 4), At(t));
    for (int rank : {1, 3}) detector.Hear(rank, Beat(4, 4), At(t));
    detector.Hear(2, Beat(5, 4), At(t));
    auto finding = detector.Check(At(t));
    if (t == 30) {
      ASSERT_TRUE(finding.has_value());
      EXPECT_THAT(finding->message, HasSubstr("rank 1 (host b)"));
      EXPECT_THAT(finding->message, HasSubstr("rank 3 (host d)"));
      EXPECT_THAT(finding->message, Not(HasSubstr("rank 2")));
    }
  }
}

TEST(StallDetectorTest, OtherRanksReportTheCenterAlone) {
  StallDetector::Settings settings{absl::Seconds(30), absl::Seconds(600), absl::Seconds(5)};
  StallDetector alive(settings, {"a", "b", "c"}, /*rank=*/1, /*center=*/0, kStart);
  StallDetector silent(settings, {"a", "b", "c"}, /*rank=*/1, /*center=*/0, kStart);
  std::optional<StallDetector::Finding> finding;
  for (int t = 0; t <= 600; ++t) {
    // First ranks 0 and 1 wait for rank 2, from t = 300 on rank 0 waits for rank 1. Only rank 0 may
    // report this, because the detector of rank 1 watches only rank 0.
    alive.Hear(0, Beat(5, 4), At(t));
    alive.Hear(1, Beat(t < 300 ? 5 : 4, 4), At(t));
    ASSERT_FALSE(alive.Check(At(t)).has_value()) << t;
    silent.Hear(1, Beat(5, 4), At(t));
    finding = silent.Check(At(t));
    if (t == 30) {
      ASSERT_TRUE(finding.has_value());
      EXPECT_THAT(finding->message, HasSubstr("rank 0 (host a) has not come to collective 1 "));
      EXPECT_THAT(finding->message, Not(HasSubstr("rank 1")));
    }
  }
  ASSERT_TRUE(finding.has_value());
  EXPECT_TRUE(finding->fatal);
}

}  // namespace
}  // namespace finetune
