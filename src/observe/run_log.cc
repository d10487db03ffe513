#include "src/observe/run_log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/observe/event_file.h"

namespace finetune {
namespace {

std::string Now() {
  const std::time_t now = std::time(nullptr);
  std::tm local = {};
  localtime_r(&now, &local);
  std::array<char, 32> text = {};
  std::strftime(text.data(), text.size(), "%Y%m%d_%H%M%S", &local);
  return text.data();
}

// Whether a person sees stdout as a terminal. mpirun gives every rank a pseudo-terminal, whatever
// its own output is; then its own decides. That of another host's mpirun is not known: no.
bool PersonWatches() {
  if (isatty(STDOUT_FILENO) == 0) return false;
  if (std::getenv("OMPI_COMM_WORLD_SIZE") == nullptr) return true;
  std::array<char, 64> target = {};
  const std::string link = absl::StrCat("/proc/", getppid(), "/fd/1");
  if (readlink(link.c_str(), target.data(), target.size() - 1) <= 0) return false;
  return absl::StartsWith(target.data(), "/dev/pts/") ||
         absl::StartsWith(target.data(), "/dev/tty");
}

}  // namespace

std::string FormatDuration(double seconds) {
  const auto whole = static_cast<int64_t>(std::max(0.0, std::round(seconds)));
  return absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
}

class RunLog::Impl {
 public:
  explicit Impl(const RunLogOptions& options) : options_(options) {}

  absl::Status Open() {
    std::vector<spdlog::sink_ptr> sinks;
    try {
      if (options_.rank == 0) {
        stem_ = absl::StrCat(options_.work_dir, "/", Now());
        // Two runs in one second keep their own files.
        for (int i = 1; access((stem_ + ".log").c_str(), F_OK) == 0; ++i) {
          stem_ = absl::StrCat(options_.work_dir, "/", Now(), "_", i);
        }
        redraws_ = PersonWatches();
        if (options_.tensorboard) {
          FT_ASSIGN_OR_RETURN(EventFile events,
                              EventFile::Create(options_.work_dir, options_.host));
          events_ = std::move(events);
        }
        auto console = std::make_shared<spdlog::sinks::stdout_color_sink_mt>(
            redraws_ ? spdlog::color_mode::automatic : spdlog::color_mode::never);
        console->set_pattern("%Y-%m-%d %H:%M:%S %^%-7l%$ %v");
        auto file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(stem_ + ".log");
        file->set_pattern("%Y-%m-%d %H:%M:%S.%e %-7l %v");
        sinks = {console, file};
        json_.open(stem_ + ".jsonl", std::ios::app);
        if (!json_)
          return absl::PermissionDeniedError(
              absl::StrCat("cannot write ", stem_, ".jsonl: ", std::strerror(errno)));

      } else {
        auto console =
            std::make_shared<spdlog::sinks::stderr_color_sink_mt>(spdlog::color_mode::never);
        console->set_pattern(absl::StrCat("%Y-%m-%d %H:%M:%S %^%-7l%$ [rank ", options_.rank, " ",
                                          options_.host, "] %v"));
        console->set_level(spdlog::level::warn);
        sinks = {console};
      }
      logger_ = std::make_unique<spdlog::logger>("run", sinks.begin(), sinks.end());
    } catch (const spdlog::spdlog_ex& error) {
      return absl::PermissionDeniedError(absl::StrCat("cannot write the log: ", error.what()));
    }
    logger_->set_error_handler([this](const std::string& what) {
      if (!std::exchange(complained_, true))
        std::fprintf(stderr, "[warning] the log is not written: %s\n", what.c_str());
    });
    logger_->flush_on(spdlog::level::info);
    return absl::OkStatus();
  }

  void Say(spdlog::level::level_enum level, const std::string& text) {
    ClearProgress();
    logger_->log(level, "{}", text);
  }

  void Json(const nlohmann::json& record) {
    if (options_.rank != 0) return;
    json_ << record.dump() << '\n';
    json_.flush();
    if (!json_ && !std::exchange(complained_, true)) {
      std::fprintf(stderr, "[warning] %s.jsonl is not written: %s\n", stem_.c_str(),
                   std::strerror(errno));
    }
  }

  void Curves(int64_t step, const std::vector<Scalar>& scalars) {
    if (!events_.has_value()) return;
    const absl::Status status = events_->Add(step, scalars);
    if (!status.ok() && !std::exchange(complained_, true)) {
      std::fprintf(stderr, "[warning] %s\n", std::string(status.message()).c_str());
    }
  }

  void Redraw(const std::string& line) {
    if (!redraws_) return;
    std::fputs(absl::StrCat("\r", line, "\x1b[K").c_str(), stdout);
    std::fflush(stdout);
    drawn_ = true;
  }
  void ClearProgress() {
    if (!std::exchange(drawn_, false)) return;
    std::fputs("\r\x1b[K", stdout);
    std::fflush(stdout);
  }

  const std::string& stem() const { return stem_; }
  absl::Status Close() {
    ClearProgress();
    logger_->flush();
    return absl::OkStatus();
  }

 private:
  const RunLogOptions options_;
  std::string stem_;
  std::unique_ptr<spdlog::logger> logger_;
  std::ofstream json_;
  std::optional<EventFile> events_;
  bool redraws_ = false, drawn_ = false, complained_ = false;
};

absl::StatusOr<std::unique_ptr<RunLog>> RunLog::Open(const RunLogOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  FT_RETURN_IF_ERROR(impl->Open());
  return std::unique_ptr<RunLog>(new RunLog(std::move(impl)));
}

RunLog::RunLog(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RunLog::~RunLog() { impl_->ClearProgress(); }

void RunLog::Info(const std::string& text) { impl_->Say(spdlog::level::info, text); }
void RunLog::Warning(const std::string& text) { impl_->Say(spdlog::level::warn, text); }
void RunLog::Error(const std::string& text) { impl_->Say(spdlog::level::err, text); }

void RunLog::Iteration(const IterationRecord& r) {
  const int64_t in_epoch = (r.iteration - 1) % r.iterations_per_epoch + 1;
  std::string line = absl::StrFormat(
      "epoch %d [%d/%d]  lr %.4g  loss %.4f  time %.3f s  data %.4f s  %.1f pictures/s  memory %d "
      "MiB  eta %s",
      r.epoch, in_epoch, r.iterations_per_epoch, r.lr, r.loss, r.time_s, r.data_time_s,
      r.images_per_s, r.memory_mib, FormatDuration(r.eta_s));
  if (r.gradient_norm.has_value())
    absl::StrAppendFormat(&line, "  gradient %.3g", *r.gradient_norm);
  impl_->Say(spdlog::level::info, line);
  nlohmann::json json = {{"mode", "train"},
                         {"epoch", r.epoch},
                         {"iteration", r.iteration},
                         {"loss", r.loss},
                         {"lr", r.lr},
                         {"time", r.time_s},
                         {"data_time", r.data_time_s},
                         {"images_per_s", r.images_per_s},
                         {"memory", r.memory_mib},
                         {"eta", r.eta_s}};
  if (r.gradient_norm.has_value()) json["gradient_norm"] = *r.gradient_norm;
  impl_->Json(json);
  impl_->Curves(r.iteration, {{"train/loss", r.loss},
                              {"train/lr", r.lr},
                              {"train/pictures_per_second", r.images_per_s},
                              {"train/data_time", r.data_time_s}});
}

void RunLog::Progress(const IterationRecord& r) {
  const int64_t in_epoch = (r.iteration - 1) % r.iterations_per_epoch + 1;
  impl_->Redraw(absl::StrFormat("epoch %d [%d/%d]  loss %.4f  %.1f pictures/s  eta %s", r.epoch,
                                in_epoch, r.iterations_per_epoch, r.loss, r.images_per_s,
                                FormatDuration(r.eta_s)));
}

void RunLog::Evaluation(const EvaluationRecord& r) {
  std::string line = absl::StrFormat("validation after epoch %d, iteration %d: loss %.4f", r.epoch,
                                     r.iteration, r.loss);
  nlohmann::json json = {{"mode", "val"},  {"epoch", r.epoch},  {"iteration", r.iteration},
                         {"loss", r.loss}, {"time", r.seconds}, {"pictures", r.pictures}};
  for (const auto& [name, value] : r.accuracy) {
    absl::StrAppendFormat(&line, "  %s %.2f %%", name, 100 * value);
    json["accuracy"][name] = value;
  }
  absl::StrAppendFormat(&line, "  (%d pictures in %.1f s)", r.pictures, r.seconds);
  impl_->Say(spdlog::level::info, line);
  impl_->Json(json);
  std::vector<Scalar> scalars = {{"val/loss", r.loss}};
  for (const auto& [name, value] : r.accuracy) scalars.emplace_back("val/" + name, value);
  impl_->Curves(r.iteration, scalars);
}

const std::string& RunLog::stem() const { return impl_->stem(); }
absl::Status RunLog::Close() { return impl_->Close(); }

}  // namespace finetune
