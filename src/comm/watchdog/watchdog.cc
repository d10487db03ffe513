#include "src/comm/watchdog/watchdog.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "src/base/status_macros.h"

namespace finetune {
namespace {

// The rank that receives the heartbeats of all other ranks.
constexpr int kCenter = 0;
// In a job of more ranks than this, heartbeats are sent less often, because rank 0 must read all of
// them.
constexpr double kManyRanks = 1024;

// Returns the time between two heartbeats of a rank: a fifth of the warning time, but at least 20
// ms and at most 1 s. In a job of n > kManyRanks ranks it is n / kManyRanks times as long.
absl::Duration Interval(absl::Duration warning, size_t ranks) {
  const absl::Duration interval = std::clamp(warning / 5, absl::Milliseconds(20), absl::Seconds(1));
  return interval * std::max(1.0, static_cast<double>(ranks) / kManyRanks);
}

}  // namespace

Watchdog::Watchdog(Settings settings, int rank, const std::vector<std::string>& hosts,
                   std::unique_ptr<HeartbeatTransport> transport, absl::Time now)
    : rank_(rank),
      interval_(Interval(settings.warning, hosts.size())),
      detector_({settings.warning, settings.timeout, 5 * interval_}, hosts, rank, kCenter, now),
      transport_(std::move(transport)) {}

void Watchdog::CountEntered(const char* name) {
  operation_.store(name, std::memory_order_relaxed);
  entered_.fetch_add(1, std::memory_order_relaxed);
}

void Watchdog::CountFinished() { finished_.fetch_add(1, std::memory_order_relaxed); }

void Watchdog::SetActivity(absl::string_view activity) {
  absl::MutexLock lock(&activity_mutex_);
  activity_.assign(activity.data(), activity.size());
}

void Watchdog::SetWarn(std::function<void(absl::string_view)> warn) {
  absl::MutexLock lock(&warn_mutex_);
  warn_ = std::move(warn);
}

Heartbeat Watchdog::OwnHeartbeat(int64_t entered) {
  absl::MutexLock lock(&activity_mutex_);
  return {entered, finished_.load(std::memory_order_relaxed),
          operation_.load(std::memory_order_relaxed), activity_};
}

void Watchdog::Warn(const StallDetector::Finding& finding) {
  absl::MutexLock lock(&warn_mutex_);
  if (warn_) {
    warn_(finding.message);
  } else if (!finding.fatal) {
    std::fprintf(stderr, "%s\n", finding.message.c_str());
  }
}

absl::StatusOr<std::optional<std::string>> Watchdog::Tick(absl::Time now) {
  if (now < next_news_) return std::nullopt;
  const int64_t entered = entered_.load(std::memory_order_relaxed);
  if (now < next_heartbeat_ && entered == sent_entered_) return std::nullopt;
  sent_entered_ = entered;
  next_news_ = now + interval_ / 10;
  next_heartbeat_ = now + interval_;

  while (true) {
    FT_ASSIGN_OR_RETURN(std::optional<ReceivedHeartbeat> received, transport_->Receive());
    if (!received.has_value()) break;
    detector_.Hear(received->rank, std::move(received->heartbeat), now);
  }
  Heartbeat own = OwnHeartbeat(entered);
  FT_RETURN_IF_ERROR(transport_->Send(own));
  detector_.Hear(rank_, std::move(own), now);

  const std::optional<StallDetector::Finding> finding = detector_.Check(now);
  if (!finding.has_value()) return std::nullopt;
  Warn(*finding);
  if (finding->fatal) return finding->message;
  return std::nullopt;
}

}  // namespace finetune
