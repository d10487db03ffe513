#include "src/comm/nccl/stream_timeline.h"

#include "gtest/gtest.h"

namespace finetune {
namespace {

const absl::Time kAnchor = absl::FromUnixSeconds(1'800'000'000);
absl::Time At(double ms) { return kAnchor + absl::Milliseconds(ms); }
double Ms(absl::Time time) { return absl::ToDoubleMilliseconds(time - kAnchor); }

TEST(StreamTimelineTest, OperationsFollowTheAnchorAndEachOther) {
  StreamTimeline timeline(kAnchor);
  const auto first = timeline.Add({At(1), At(60), 2.5f, 4});
  EXPECT_NEAR(Ms(first.began), 2.5, 1e-6);
  EXPECT_NEAR(Ms(first.ended), 6.5, 1e-6);
  const auto second = timeline.Add({At(1.5), At(60), 0.25f, 1.5f});
  EXPECT_NEAR(Ms(second.began), 6.75, 1e-6);
  EXPECT_NEAR(Ms(second.ended), 8.25, 1e-6);
}

TEST(StreamTimelineTest, NothingBeginsBeforeItIsSubmitted) {
  StreamTimeline timeline(kAnchor);
  // By the GPU's clock the operation began 9 ms after the anchor, but it was submitted only at 10
  // ms.
  const auto first = timeline.Add({At(10), At(50), 9, 2});
  EXPECT_NEAR(Ms(first.began), 10, 1e-6);
  EXPECT_NEAR(Ms(first.ended), 12, 1e-6);
  // The next operation is placed 3 ms after the corrected end.
  EXPECT_NEAR(Ms(timeline.Add({At(10), At(50), 3, 1}).began), 15, 1e-6);
}

TEST(StreamTimelineTest, NothingEndsAfterItWasSeenToBeOver) {
  StreamTimeline timeline(kAnchor);
  const auto first = timeline.Add({At(1), At(20), 30, 4});
  EXPECT_NEAR(Ms(first.ended), 20, 1e-6);
  EXPECT_NEAR(Ms(first.began), 16, 1e-6);
}

TEST(StreamTimelineTest, TheClocksOfALongRunDoNotDriftApart) {
  StreamTimeline timeline(kAnchor);
  // A GPU whose clock is 50 parts per million too fast runs an operation of 5 ms every 100 ms for a
  // day.
  const double pace = 1 + 50e-6;
  double last_end = 0;
  for (int i = 0; i < 864'000; ++i) {
    const double began = 100.0 * i + 7;
    const StreamTimeline::Interval interval =
        timeline.Add({At(100.0 * i + 6.5), At(began + 5 + 40),
                      static_cast<float>((began - last_end) * pace), static_cast<float>(5 * pace)});
    last_end = began + 5;
    ASSERT_GE(Ms(interval.began), began - 0.6) << i;
    ASSERT_LE(Ms(interval.ended), began + 5 + 40 + 0.001) << i;
  }
}

}  // namespace
}  // namespace finetune
