#include "src/observe/watch.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/atomic_file.h"
#include "src/base/fd.h"
#include "src/base/list_folder.h"
#include "src/observe/run_log.h"

namespace finetune {
namespace {

// The bytes of the .jsonl file that are read. A record has about 200 bytes, so this is enough for
// kMostLosses records.
constexpr off_t kTailBytes = 64 << 10;
constexpr size_t kMostLosses = 40;
constexpr int kBarColumns = 30;

absl::Time FromUnix(double seconds) { return absl::UnixEpoch() + absl::Seconds(seconds); }

// Returns the seconds from `unix_s` to `now`; 0 if `unix_s` is later, because the run's host has
// another clock.
double AgeOf(double unix_s, absl::Time now) {
  return std::max(0.0, absl::ToDoubleSeconds(now - FromUnix(unix_s)));
}

bool IsThisHost(const std::string& host) {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 && host == name;
}

WatchedRun::Health HealthOf(const RunStatus& status, absl::Time now) {
  if (status.state != RunState::kRunning) return WatchedRun::Health::kEnded;
  const bool has_pid = status.pid > 0 && status.pid <= std::numeric_limits<pid_t>::max();
  if (has_pid && IsThisHost(status.run.host) && kill(static_cast<pid_t>(status.pid), 0) != 0 &&
      errno == ESRCH) {
    return WatchedRun::Health::kGone;
  }
  const absl::Duration age = now - FromUnix(status.updated_unix_s);
  if (age > StaleAfter(status)) return WatchedRun::Health::kStale;
  return age < -StaleAfter(status) ? WatchedRun::Health::kOtherClock : WatchedRun::Health::kAlive;
}

// Returns the last kTailBytes bytes of a file; "" if it cannot be read.
std::string TailOf(const std::string& path) {
  const absl::StatusOr<Fd> fd = OpenRegularFile(path);
  struct stat found = {};
  if (!fd.ok() || fstat(fd->get(), &found) != 0) return "";
  std::string bytes(static_cast<size_t>(std::min<off_t>(found.st_size, kTailBytes)), '\0');
  const ssize_t n = TEMP_FAILURE_RETRY(pread(fd->get(), bytes.data(), bytes.size(),
                                             found.st_size - static_cast<off_t>(bytes.size())));
  bytes.resize(static_cast<size_t>(std::max<ssize_t>(n, 0)));
  return bytes;
}

// Returns the losses of the last training records in the newest .jsonl file, at most kMostLosses.
// Records that cannot be read are left out without an error, because the curve is only an extra.
std::vector<double> LastLosses(const std::string& work_dir) {
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(work_dir);
  if (!names.ok()) return {};
  std::string last;
  for (const std::string& name : *names) {
    if (absl::EndsWith(name, ".jsonl")) last = name;
  }
  History history;
  if (last.empty() || !AddRecords(TailOf(absl::StrCat(work_dir, "/", last)), &history).ok()) {
    return {};
  }
  std::vector<double> losses;
  for (const IterationRecord& record : history.iterations) losses.push_back(record.loss);
  if (losses.size() > kMostLosses) losses.erase(losses.begin(), losses.end() - kMostLosses);
  return losses;
}

// Returns a curve with one character for each value: a bar that is low for the lowest value and
// high for the highest.
std::string Curve(const std::vector<double>& values) {
  constexpr const char* kLevels[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  double low = INFINITY, high = -INFINITY;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  std::string curve;
  for (const double value : values) {
    if (!std::isfinite(value)) {
      curve += ' ';
      continue;
    }
    const double place = high > low ? (value - low) / (high - low) : 0;
    curve += kLevels[std::min(static_cast<int>(place * 8), 7)];
  }
  return curve;
}

// Returns the first `most` characters of a UTF-8 text. Control characters, which might move the
// cursor, become spaces.
std::string Line(absl::string_view text, int most) {
  std::string line;
  int characters = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool begins = (byte & 0xC0) != 0x80;
    if (begins && ++characters > most) break;
    line += byte < 0x20 || byte == 0x7F ? ' ' : c;
  }
  return line;
}

std::string StateOf(const WatchedRun& run, absl::Time now) {
  const RunStatus& status = run.status;
  const std::string age = FormatDuration(AgeOf(status.updated_unix_s, now));
  switch (run.health) {
    case WatchedRun::Health::kAlive:
      return absl::StrCat(NameOf(status.state), ", updated ", age, " ago");
    case WatchedRun::Health::kStale:
      return absl::StrCat("STALE: no update for ", age, "; process ", status.pid, " on ",
                          status.run.host, " may hang or be dead");
    case WatchedRun::Health::kOtherClock:
      return absl::StrCat("UNKNOWN: the last update is ",
                          FormatDuration(AgeOf(absl::ToDoubleSeconds(now - absl::UnixEpoch()),
                                               FromUnix(status.updated_unix_s))),
                          " ahead of this host's clock; compare it with that of ", status.run.host);
    case WatchedRun::Health::kGone:
      return absl::StrCat("GONE: process ", status.pid,
                          " has ended without a last word; its last update was ", age, " ago");
    case WatchedRun::Health::kEnded:
      break;
  }
  return absl::StrCat(NameOf(status.state), ", ended ", age, " ago",
                      status.state == RunState::kInterrupted ? "; --resume=auto continues" : "");
}

// Describes a run that has not reported an iteration.
std::string NoIteration(const RunStatus& status) {
  if (status.run.iteration == 0) return "no iteration yet";
  return absl::StrCat("resumed after iteration ", status.run.iteration,
                      status.state == RunState::kDone ? ", where the run had ended already"
                                                      : "; no iteration since then");
}

void DescribeTraining(const WatchedRun& run, const WatchScreen& screen,
                      std::vector<std::string>* lines) {
  const IterationRecord& r = *run.status.training;
  const double part =
      r.total_iterations > 0
          ? std::clamp(static_cast<double>(r.iteration) / static_cast<double>(r.total_iterations),
                       0.0, 1.0)
          : 0;
  const int filled = static_cast<int>(part * kBarColumns);
  lines->push_back(absl::StrFormat("progress    [%s%s] %.0f %%  iteration %d of %d, epoch %d of %d",
                                   std::string(filled, '='), std::string(kBarColumns - filled, ' '),
                                   std::floor(100 * part), r.iteration, r.total_iterations, r.epoch,
                                   (r.total_iterations - 1) / r.iterations_per_epoch + 1));
  if (run.health != WatchedRun::Health::kEnded) {
    lines->push_back(absl::StrCat("eta         ", FormatDuration(r.eta_s)));
  }
  lines->push_back(absl::StrFormat("loss        %-10.4f", r.loss));
  if (screen.utf8 && run.losses.size() > 1) absl::StrAppend(&lines->back(), Curve(run.losses));
  lines->push_back(absl::StrFormat("lr          %.4g", r.lr));
  lines->push_back(
      absl::StrFormat("speed       %.1f images/s, %.3f s an iteration, %.1f %% of it for data",
                      r.images_per_s, r.time_s, r.time_s > 0 ? 100 * r.data_time_s / r.time_s : 0));
  lines->push_back(absl::StrFormat("memory      %d MiB", r.memory_mib));
}

}  // namespace

absl::Duration StaleAfter(const RunStatus& status) {
  const double iteration_s = status.training.has_value() ? status.training->time_s : 0;
  return absl::Minutes(2) + absl::Seconds(std::isfinite(iteration_s) ? 10 * iteration_s : 0);
}

absl::StatusOr<WatchedRun> ReadWatchedRun(const std::string& work_dir, absl::Time now) {
  WatchedRun run;
  FT_ASSIGN_OR_RETURN(run.status, ReadRunStatus(work_dir));
  run.health = HealthOf(run.status, now);
  run.losses = LastLosses(work_dir);
  return run;
}

std::vector<std::string> DescribeRun(const WatchedRun& run, absl::Time now,
                                     const WatchScreen& screen) {
  const RunStatus& status = run.status;
  std::vector<std::string> lines;
  lines.push_back(absl::StrCat(
      status.run.name, " on ", status.run.host, ", ", status.run.ranks,
      status.run.ranks == 1 ? " rank" : " ranks", ", started ",
      absl::FormatTime("%Y-%m-%d %H:%M", FromUnix(status.run.began_unix_s), screen.zone)));
  lines.push_back(StateOf(run, now));
  if (!status.error.empty()) lines.push_back(absl::StrCat("error       ", status.error));
  if (!status.reason.empty()) lines.push_back(absl::StrCat("reason      ", status.reason));
  lines.emplace_back();
  if (status.training.has_value()) {
    DescribeTraining(run, screen, &lines);
  } else {
    lines.push_back(NoIteration(status));
  }
  if (status.validation.has_value()) {
    lines.push_back(absl::StrFormat("validation  iteration %d: loss %.4f",
                                    status.validation->iteration, status.validation->loss));
    for (const auto& [name, value] : status.validation->accuracy) {
      absl::StrAppendFormat(&lines.back(), "  %s %.2f %%", name, 100 * value);
    }
  }
  if (status.validation_total > 0) {
    lines.push_back(absl::StrFormat("validating  batch %d of %d", status.validation_done,
                                    status.validation_total));
  }
  if (status.best.has_value()) {
    const RunStatus::Best& best = *status.best;
    lines.push_back(absl::StrCat("best        ", best.metric, " ",
                                 MetricText(best.metric, best.value), " at iteration ",
                                 best.iteration));
  }
  if (status.checkpoint.has_value()) {
    lines.push_back(absl::StrFormat("checkpoint  %s of iteration %d, %s ago",
                                    status.checkpoint->file, status.checkpoint->iteration,
                                    FormatDuration(AgeOf(status.checkpoint->saved_unix_s, now))));
  }
  for (const RunStatus::Warning& warning : status.warnings) {
    lines.push_back(absl::StrCat(
        "warning     ", absl::FormatTime("%H:%M:%S", FromUnix(warning.unix_s), screen.zone), " ",
        warning.text));
  }
  for (std::string& line : lines) line = Line(line, screen.columns);
  return lines;
}

}  // namespace finetune
