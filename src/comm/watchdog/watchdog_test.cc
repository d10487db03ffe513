#include "src/comm/watchdog/watchdog.h"

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

const absl::Time kStart = absl::UnixEpoch();

// The messages of FakeTransport: the test writes `incoming`, and reads the heartbeats that the
// watchdog sent.
struct Wires {
  std::deque<ReceivedHeartbeat> incoming;
  std::vector<Heartbeat> sent;
  absl::Status failure;
};

class FakeTransport : public HeartbeatTransport {
 public:
  explicit FakeTransport(Wires* wires) : wires_(*wires) {}
  absl::Status Send(const Heartbeat& own) override {
    wires_.sent.push_back(own);
    return wires_.failure;
  }
  absl::StatusOr<std::optional<ReceivedHeartbeat>> Receive() override {
    if (wires_.incoming.empty()) return std::nullopt;
    ReceivedHeartbeat first = std::move(wires_.incoming.front());
    wires_.incoming.pop_front();
    return first;
  }
  void Stop() override {}

 private:
  Wires& wires_;
};

class WatchdogTest : public testing::Test {
 protected:
  WatchdogTest() {
    watchdog_.SetWarn([this](absl::string_view text) { warnings_.emplace_back(text); });
  }
  std::optional<std::string> TickAt(absl::Duration since_start) {
    auto fatal = watchdog_.Tick(kStart + since_start);
    EXPECT_TRUE(fatal.ok()) << fatal.status();
    return *fatal;
  }

  Wires wires_;
  std::vector<std::string> warnings_;
  Watchdog watchdog_{{absl::Seconds(5), absl::Seconds(20)},
                     /*rank=*/0,
                     {"a", "b"},
                     std::make_unique<FakeTransport>(&wires_),
                     kStart};
};

TEST_F(WatchdogTest, SendsItsCountsAndActivityOnceAnInterval) {
  watchdog_.CountEntered("all-reduce");
  watchdog_.CountFinished();
  watchdog_.SetActivity("loading data");
  TickAt(absl::ZeroDuration());
  TickAt(watchdog_.interval() / 2);
  ASSERT_EQ(wires_.sent.size(), 1u);
  EXPECT_EQ(wires_.sent[0].entered, 1);
  EXPECT_EQ(wires_.sent[0].finished, 1);
  EXPECT_EQ(wires_.sent[0].operation, "all-reduce");
  EXPECT_EQ(wires_.sent[0].activity, "loading data");
  TickAt(watchdog_.interval());
  EXPECT_EQ(wires_.sent.size(), 2u);
}

TEST_F(WatchdogTest, SendsANewCollectiveBeforeTheIntervalIsOver) {
  TickAt(absl::ZeroDuration());
  watchdog_.CountEntered("barrier");
  TickAt(watchdog_.interval() / 100);
  EXPECT_EQ(wires_.sent.size(), 1u);
  TickAt(watchdog_.interval() / 10);
  EXPECT_EQ(wires_.sent.size(), 2u);
}

TEST_F(WatchdogTest, WarnsOfALateRankThenAsksForTheEnd) {
  watchdog_.CountEntered("all-reduce");
  TickAt(absl::ZeroDuration());
  wires_.incoming.push_back({1, {0, 0, "", "reading"}});
  EXPECT_EQ(TickAt(absl::Seconds(6)), std::nullopt);
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_THAT(warnings_[0], HasSubstr("rank 1 (host b) has not come to collective 1"));
  const std::optional<std::string> fatal = TickAt(absl::Seconds(21));
  ASSERT_TRUE(fatal.has_value());
  EXPECT_THAT(*fatal, HasSubstr("ending the job"));
  EXPECT_EQ(warnings_.back(), *fatal);
}

TEST_F(WatchdogTest, IsQuietWhileAllComeToTheSameCollectives) {
  for (int second = 0; second < 30; ++second) {
    watchdog_.CountEntered("all-reduce");
    watchdog_.CountFinished();
    wires_.incoming.push_back({1, {second + 1, second + 1, "all-reduce", ""}});
    EXPECT_EQ(TickAt(absl::Seconds(second)), std::nullopt);
  }
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(WatchdogTest, HandsOnTheTransportsError) {
  wires_.failure = absl::UnavailableError("heartbeat: gone");
  EXPECT_EQ(watchdog_.Tick(kStart).status(), wires_.failure);
}

}  // namespace
}  // namespace finetune
