#include "src/plan/cost_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "src/plan/simulate.h"

namespace finetune {
namespace {

// A speed at which summing is never slower than the link.
constexpr double kFastSum = 1e15;
const Link kSlow = {"slow", 125e6, 1e-3};

Cluster Hosts(int ranks_per_host, Cluster::Algorithm algorithm) {
  Cluster cluster;
  cluster.between_hosts = kSlow;
  cluster.within_host = {"fast", 10e9, 1e-6};
  cluster.ranks_per_host = ranks_per_host;
  cluster.sum_bytes_per_second = kFastSum;
  cluster.algorithm = algorithm;
  return cluster;
}

TEST(CostModel, OneRankHasNobodyToTalkTo) {
  EXPECT_EQ(RingSeconds(1e9, 1, kSlow, kFastSum), 0);
  EXPECT_EQ(AllReduceSeconds(1e9, 1, Hosts(8, Cluster::Algorithm::kHierarchical)), 0);
  EXPECT_EQ(GatherSeconds(1, Hosts(8, Cluster::Algorithm::kAuto)), 0);
}

TEST(CostModel, ALargeMessageTravelsTwiceWhateverTheRanks) {
  const double bytes = 1e12;
  for (const int ranks : {64, 512, 4096}) {
    EXPECT_NEAR(RingSeconds(bytes, ranks, kSlow, kFastSum),
                2.0 * (ranks - 1) / ranks * bytes / kSlow.bytes_per_second, 0.01);
  }
}

TEST(CostModel, ASmallMessagePaysTheLatencyOfEveryStep) {
  for (const int ranks : {2, 64, 4096}) {
    const double latency = 2.0 * (ranks - 1) * kSlow.latency_s;
    EXPECT_NEAR(RingSeconds(8, ranks, kSlow, kFastSum), latency, 1e-3 * latency);
  }
}

TEST(CostModel, ASegmentPaysAlphaBetaAndGamma) {
  // With 3 ranks and chunks of 10 kB a ring has 4 steps. Each takes a latency and the time to send
  // a chunk; 2 of the steps also sum the chunk.
  const double chunk = 10e3;
  EXPECT_DOUBLE_EQ(RingSeconds(3 * chunk, 3, kSlow, 1e6),
                   std::max(4 * (1e-3 + chunk / 125e6) + 2 * chunk / 1e6,
                            2 * chunk / 1e6 + 2 * chunk / 125e6 + 1e-3));
}

TEST(CostModel, MoreBytesOrRanksOrASlowerLinkAreNeverFaster) {
  for (const auto algorithm :
       {Cluster::Algorithm::kAuto, Cluster::Algorithm::kRing, Cluster::Algorithm::kHierarchical}) {
    const Cluster cluster = Hosts(8, algorithm);
    Cluster slower = cluster;
    slower.between_hosts.bytes_per_second /= 2;
    slower.between_hosts.latency_s *= 2;
    for (int ranks = 16; ranks <= 4096; ranks *= 2) {
      double before = 0;
      for (int64_t size = 4; size < 1'000'000'000; size += size / 2) {
        const auto bytes = static_cast<double>(size);
        const double now = AllReduceSeconds(bytes, ranks, cluster);
        EXPECT_GE(now, before) << bytes << " bytes, " << ranks << " ranks";
        EXPECT_GE(AllReduceSeconds(bytes, ranks, slower), now);
        EXPECT_GE(AllReduceSeconds(bytes, 2 * ranks, cluster), now)
            << bytes << " bytes, " << ranks << " ranks";
        before = now;
      }
    }
  }
}

TEST(CostModel, OneHostKnowsNothingOfTheNetwork) {
  Cluster cluster = Hosts(8, Cluster::Algorithm::kAuto);
  const double before = AllReduceSeconds(1e6, 8, cluster);
  cluster.between_hosts.bytes_per_second = 1;
  EXPECT_EQ(AllReduceSeconds(1e6, 8, cluster), before);
  EXPECT_GT(AllReduceSeconds(1e6, 9, cluster), before);
}

TEST(CostModel, AHierarchyCrossesTheSlowLinkOncePerHost) {
  const Cluster ring = Hosts(8, Cluster::Algorithm::kRing);
  const Cluster hierarchy = Hosts(8, Cluster::Algorithm::kHierarchical);
  // The hierarchy pays the latency of 2 (8 - 1) steps between hosts, one ring that of 2 (64 - 1)
  // steps.
  EXPECT_NEAR(AllReduceSeconds(64, 64, hierarchy) / AllReduceSeconds(64, 64, ring), 7.0 / 63, 0.01);
}

TEST(CostModel, AnExchangeOfFewBytesIsOneStep) {
  const Cluster cluster = Hosts(1, Cluster::Algorithm::kAuto);
  EXPECT_NEAR(AllReduceSeconds(4, 64, cluster), 1e-3, 1e-5);
}

TEST(Simulate, TransfersQueueInTheirOrderBehindTheComputation) {
  // The first transfer starts at 1 and ends at 3. The second waits for the first and ends at 5. The
  // channel is idle until the third transfer starts at 9; it ends at 11.
  const std::vector<Transfer> transfers = {{1, 2}, {2, 2}, {9, 2}};
  const StepTimeline timeline = Simulate(10, transfers, [](double bytes) { return bytes; });
  EXPECT_DOUBLE_EQ(timeline.end_s, 11);
  EXPECT_DOUBLE_EQ(timeline.comm_s, 6);
  EXPECT_DOUBLE_EQ(timeline.exposed_s, 1);
}

TEST(Simulate, ATransferThatIsReadyWaitsForTheOneBeforeIt) {
  const std::vector<Transfer> transfers = {{8, 1}, {1, 1}};
  EXPECT_DOUBLE_EQ(Simulate(2, transfers, [](double bytes) { return bytes; }).end_s, 10);
}

TEST(Simulate, WithoutTransfersAStepIsItsComputation) {
  const StepTimeline timeline = Simulate(3, {}, [](double) { return 1.0; });
  EXPECT_DOUBLE_EQ(timeline.end_s, 3);
  EXPECT_DOUBLE_EQ(timeline.exposed_s, 0);
}

TEST(Simulate, AStepLiesBetweenPerfectAndNoOverlap) {
  for (const double speed : {0.01, 0.1, 1.0, 10.0, 100.0}) {
    std::vector<Transfer> transfers;
    for (int i = 1; i <= 10; ++i) {
      transfers.push_back({static_cast<double>(i), static_cast<double>(1 + i % 3)});
    }
    const StepTimeline timeline =
        Simulate(10, transfers, [&](double bytes) { return bytes / speed; });
    EXPECT_GE(timeline.end_s, std::max(10.0, timeline.comm_s));
    EXPECT_LE(timeline.end_s, 10 + timeline.comm_s);
  }
}

}  // namespace
}  // namespace finetune
