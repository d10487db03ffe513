#include "src/comm/watchdog/stall_detector.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace finetune {
namespace {

// Formats a duration as "2.5 s" or, from 10 s on, as "31 s".
std::string Seconds(absl::Duration duration) {
  const double seconds = absl::ToDoubleSeconds(duration);
  return seconds < 10 ? absl::StrFormat("%.1f s", seconds) : absl::StrFormat("%.0f s", seconds);
}

}  // namespace

StallDetector::StallDetector(Settings settings, std::vector<std::string> hosts, int rank,
                             int center, absl::Time now)
    : settings_(settings), hosts_(std::move(hosts)), next_report_(settings.warning) {
  if (rank != center) {
    subject_ = center;
    watched_[rank].heard = now;
    watched_[center].heard = now;
    return;
  }
  for (int r = 0; r < static_cast<int>(hosts_.size()); ++r) watched_[r].heard = now;
}

void StallDetector::Hear(int rank, Heartbeat heartbeat, absl::Time now) {
  auto it = watched_.find(rank);
  if (it == watched_.end()) return;
  Watched& watched = it->second;
  if (heartbeat.entered > watched.last.entered) watched.behind_since.reset();
  watched.last = std::move(heartbeat);
  watched.heard = now;
}

std::string StallDetector::Name(int rank) const {
  return absl::StrCat("rank ", rank, " (host ", hosts_[rank], ")");
}

std::string StallDetector::Describe(const Watched& watched, absl::Time now) const {
  const absl::Duration silent = now - watched.heard;
  const std::string activity =
      watched.last.activity.empty() ? "an unknown place" : watched.last.activity;
  if (silent < settings_.silence) return absl::StrCat("it is at: ", activity);
  return absl::StrCat("not heard of for ", Seconds(silent),
                      " (stopped, out of memory or cut off?), it was at: ", activity);
}

std::optional<StallDetector::Finding> StallDetector::Check(absl::Time now) {
  int64_t entered = 0;
  int64_t least_entered = INT64_MAX;
  int64_t least_finished = INT64_MAX;
  const Watched* first = nullptr;  // the rank that has entered the most collectives
  for (const auto& [rank, watched] : watched_) {
    if (first == nullptr || watched.last.entered > entered) first = &watched;
    entered = std::max(entered, watched.last.entered);
    least_entered = std::min(least_entered, watched.last.entered);
    least_finished = std::min(least_finished, watched.last.finished);
  }
  std::vector<std::string> late;
  absl::Duration longest = absl::ZeroDuration();
  for (auto& [rank, watched] : watched_) {
    if (watched.last.entered == entered) {
      watched.behind_since.reset();
      continue;
    }
    if (!watched.behind_since.has_value()) watched.behind_since = now;
    if (rank == subject_.value_or(rank)) longest = std::max(longest, now - *watched.behind_since);
  }
  // A collective that every rank has entered ends soon, unless a rank or the network to a rank has
  // failed since.
  if (least_finished < least_entered) {
    if (!stuck_since_.has_value() || stuck_at_ != least_finished) {
      stuck_since_ = now;
      stuck_at_ = least_finished;
    }
    // Only the center knows whether all ranks have entered the collective. So another rank reports
    // it only when the center is silent.
    const bool concerns =
        !subject_.has_value() || now - watched_[*subject_].heard >= settings_.silence;
    if (concerns) longest = std::max(longest, now - *stuck_since_);
  } else {
    stuck_since_.reset();
  }
  const bool fatal = longest >= settings_.timeout;
  if (longest < settings_.warning) next_report_ = settings_.warning;
  if (!fatal && longest < next_report_) return std::nullopt;
  while (next_report_ <= longest) next_report_ *= 2;

  for (const auto& [rank, watched] : watched_) {
    if (rank != subject_.value_or(rank)) continue;
    if (!watched.behind_since.has_value() || now - *watched.behind_since < settings_.warning) {
      continue;
    }
    late.push_back(absl::StrCat(
        Name(rank), " has not come to collective ", watched.last.entered + 1,
        first->last.operation.empty() ? "" : absl::StrCat(" (", first->last.operation, ")"),
        " for ", Seconds(now - *watched.behind_since), "; ", Describe(watched, now)));
  }
  if (late.empty()) {
    for (const auto& [rank, watched] : watched_) {
      if (rank != subject_.value_or(rank) || now - watched.heard < settings_.silence) continue;
      late.push_back(absl::StrCat(Name(rank), " holds up collective ", stuck_at_ + 1, " for ",
                                  Seconds(now - *stuck_since_), "; ", Describe(watched, now)));
    }
  }
  if (late.empty()) {
    late.push_back(absl::StrCat("collective ", stuck_at_ + 1, " (", first->last.operation,
                                ") has not ended for ", Seconds(now - *stuck_since_),
                                " though every rank came to it"));
  }
  std::string message = absl::StrJoin(late, "\n");
  if (fatal) {
    absl::StrAppend(&message, "\nwaited ", Seconds(longest),
                    ", over comm.timeout_seconds: ending the job");
  }
  return Finding{fatal, std::move(message)};
}

}  // namespace finetune
