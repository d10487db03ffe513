#include "src/observe/run_log.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <future>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "src/base/atomic_file.h"
#include "src/observe/append_file.h"
#include "src/observe/event_file.h"
#include "src/observe/first_batch.h"
#include "src/observe/progress_line.h"
#include "src/observe/status_files.h"

namespace finetune {
namespace {

// Returns the number of the iteration in its epoch, from 1.
int64_t InEpoch(const IterationRecord& record) {
  return (record.iteration - 1) % record.iterations_per_epoch + 1;
}

std::string Position(int64_t epoch, int64_t in_epoch, int64_t per_epoch) {
  return absl::StrFormat("epoch %d [%d/%d]", epoch, in_epoch, per_epoch);
}

// Returns "epoch E [i/n]", padded with spaces to the same width for all iterations of a run.
std::string Position(const IterationRecord& r) {
  const int64_t epochs = (r.total_iterations - 1) / r.iterations_per_epoch + 1;
  const std::string widest = Position(epochs, r.iterations_per_epoch, r.iterations_per_epoch);
  return absl::StrFormat("%-*s", static_cast<int>(widest.size()),
                         Position(r.epoch, InEpoch(r), r.iterations_per_epoch));
}

std::string Describe(const IterationRecord& r) {
  std::string line = absl::StrFormat(
      "%s  lr %-9.4g  loss %.4f  time %.3f s  data %.4f s  %7.1f images/s  memory %d MiB  eta %s",
      Position(r), r.lr, r.loss, r.time_s, r.data_time_s, r.images_per_s, r.memory_mib,
      FormatDuration(r.eta_s));
  if (r.gradient_norm.has_value()) {
    absl::StrAppendFormat(&line, "  gradient %.3g", *r.gradient_norm);
  }
  return line;
}

std::string Describe(const EvaluationRecord& r) {
  const bool epoch_is_over = r.iteration % r.iterations_per_epoch == 0;
  std::string line = absl::StrFormat("validation %s epoch %d, iteration %d: loss %.4f",
                                     epoch_is_over ? "after" : "in", r.epoch, r.iteration, r.loss);
  for (const auto& [name, value] : r.accuracy) {
    absl::StrAppendFormat(&line, "  %s %.2f %%", name, 100 * value);
  }
  absl::StrAppendFormat(
      &line, "  (%d images%s in %.1f s%s)", r.images,
      r.damaged > 0 ? absl::StrFormat(" and %d damaged, left out,", r.damaged) : "", r.seconds,
      r.averaged_weights ? ", averaged weights" : "");
  return line;
}

std::vector<Scalar> Scalars(const IterationRecord& r) {
  std::vector<Scalar> scalars = {{"train/loss", r.loss},
                                 {"train/lr", r.lr},
                                 {"time/iteration", r.time_s},
                                 {"time/data", r.data_time_s},
                                 {"time/pictures_per_s", r.images_per_s},
                                 {"memory_mib", static_cast<double>(r.memory_mib)}};
  if (r.gradient_norm.has_value()) scalars.emplace_back("train/gradient_norm", *r.gradient_norm);
  return scalars;
}

std::vector<Scalar> Scalars(const EvaluationRecord& r) {
  std::vector<Scalar> scalars = {{"val/loss", r.loss}};
  for (const auto& [name, value] : r.accuracy) scalars.emplace_back("val/" + name, value);
  return scalars;
}

// Returns whether the console may use colours: not if the environment variable NO_COLOR is set to a
// text that is not empty.
bool WantsColors() {
  const char* const no_color = std::getenv("NO_COLOR");
  return no_color == nullptr || *no_color == '\0';
}

}  // namespace

std::string FormatDuration(double seconds) {
  // An estimate is not finite if the time of an iteration is not known yet.
  if (!std::isfinite(seconds)) return "?";
  const auto whole = static_cast<int64_t>(std::clamp(std::round(seconds), 0.0, 1e12));
  return absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
}

class RunLog::Impl {
 public:
  explicit Impl(RunLogOptions options) : options_(std::move(options)) {}

  absl::Status Open() {
    std::vector<spdlog::sink_ptr> sinks;
    try {
      if (options_.rank == 0) {
        FT_RETURN_IF_ERROR(OpenFiles());
        auto console = std::make_shared<spdlog::sinks::stdout_color_sink_mt>(
            watched_ && WantsColors() ? spdlog::color_mode::automatic : spdlog::color_mode::never);
        if (options_.verbosity == Verbosity::kQuiet) console->set_level(spdlog::level::warn);
        console->set_pattern("%Y-%m-%d %H:%M:%S %^%-7l%$ %v");
        file_ = std::make_shared<FileSink>(this);
        file_->set_pattern("%Y-%m-%d %H:%M:%S.%e %-7l %v");
        sinks = {std::move(console), file_};
      } else {
        auto console =
            std::make_shared<spdlog::sinks::stderr_color_sink_mt>(spdlog::color_mode::never);
        console->set_pattern(absl::StrCat("%Y-%m-%d %H:%M:%S %-7l [rank ", options_.rank, " ",
                                          options_.host, "] %v"));
        console->set_level(spdlog::level::warn);
        sinks = {std::move(console)};
      }
      logger_ = std::make_unique<spdlog::logger>("run", sinks.begin(), sinks.end());
      logger_->flush_on(spdlog::level::info);
      logger_->set_error_handler([this](const std::string& what) {
        Failed(absl::InternalError(absl::StrCat("cannot write the log: ", what)));
      });
    } catch (const std::exception& error) {
      return absl::PermissionDeniedError(absl::StrCat("cannot write the log: ", error.what()));
    }
    return absl::OkStatus();
  }

  void Say(spdlog::level::level_enum level, const std::string& text) {
    const std::lock_guard lock(mutex_);
    SayLocked(level, text);
    if (level == spdlog::level::warn) NoteWarning(text);
  }

  void Error(const std::string& text) {
    if (file_ == nullptr) return Say(spdlog::level::err, text);
    const std::lock_guard lock(mutex_);
    progress_.Clear();
    file_->log(spdlog::details::log_msg("run", spdlog::level::err, text));
    status_.state = RunState::kFailed;
    status_.error = text;
    WriteStatus();
  }

  template <typename Record>
  void Tell(const Record& record) {
    const std::lock_guard lock(mutex_);
    SayLocked(spdlog::level::info, Describe(record));
    if (json_.has_value()) Failed(json_->Append(ToJson(record) + "\n"));
    if (events_.has_value()) Failed(events_->Add(record.iteration, Scalars(record)));
    Note(record);
  }

  void Tell(const RunRecord& record) {
    const std::lock_guard lock(mutex_);
    if (json_.has_value()) Failed(json_->Append(ToJson(record) + "\n"));
    if (events_.has_value()) Failed(events_->Start(record.iteration + 1));
    status_.run = record;
    status_.run.class_names.clear();
    started_ = true;
    WriteStatus();
  }

  void StartFirstBatch(ContactSheet images, int64_t iteration) {
    if (options_.rank != 0) return;
    first_batch_ = std::async(std::launch::async, [this, images = std::move(images), iteration] {
      const absl::Status status = WriteFirstBatch(images, iteration);
      const std::lock_guard lock(mutex_);
      Failed(status);
    });
  }

  void Saved(const std::string& file, int64_t iteration) {
    const std::lock_guard lock(mutex_);
    struct stat found = {};
    const std::string path = absl::StrCat(options_.work_dir, "/", file);
    const bool known = stat(path.c_str(), &found) == 0;
    status_.checkpoint = {file, iteration, known ? static_cast<double>(found.st_mtime) : 0};
    WriteStatus();
  }

  void Best(const RunStatus::Best& best) {
    const std::lock_guard lock(mutex_);
    status_.best = best;
    WriteStatus();
  }

  void EndEarly(const EndRecord& record) {
    const std::lock_guard lock(mutex_);
    SayLocked(spdlog::level::info, record.reason);
    if (json_.has_value()) Failed(json_->Append(ToJson(record) + "\n"));
    status_.reason = record.reason;
  }

  void End(RunState state) {
    const std::lock_guard lock(mutex_);
    status_.state = state;
    WriteStatus();
  }

  void DrawEvaluation(int64_t done, int64_t total) {
    const std::lock_guard lock(mutex_);
    status_.validation_done = done;
    status_.validation_total = total;
    WriteStatus(StatusFiles::kHeartbeat);
    progress_.Draw(absl::StrFormat("validation [%d/%d]", done, total));
  }

  void Draw(const IterationRecord& r) {
    const std::lock_guard lock(mutex_);
    NoteTraining(r, StatusFiles::kHeartbeat);
    if (options_.verbosity == Verbosity::kVerbose) {
      return SayLocked(spdlog::level::info, Describe(r));
    }
    progress_.Draw(absl::StrFormat("%s  loss %.4f  %.1f images/s  eta %s", Position(r), r.loss,
                                   r.images_per_s, FormatDuration(r.eta_s)));
  }

  absl::Status Close() {
    if (first_batch_.valid()) first_batch_.wait();
    const std::lock_guard lock(mutex_);
    progress_.Clear();
    logger_->flush();
    if (text_.has_value()) Failed(text_->Flush());
    if (json_.has_value()) Failed(json_->Flush());
    if (events_.has_value()) Failed(events_->Flush());
    return first_error_;
  }

  const std::string& stem() const { return stem_; }

 private:
  // A sink of spdlog that appends each formatted line to the .log file.
  class FileSink : public spdlog::sinks::base_sink<std::mutex> {
   public:
    explicit FileSink(Impl* log) : log_(log) {}

   protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
      spdlog::memory_buf_t line;
      formatter_->format(message, line);
      log_->Failed(log_->text_->Append(absl::string_view(line.data(), line.size())));
    }
    void flush_() override {}

   private:
    Impl* log_;
  };

  absl::Status OpenFiles() {
    const std::string start =
        absl::StrCat(options_.work_dir, "/",
                     absl::FormatTime("%Y%m%d_%H%M%S", absl::Now(), absl::LocalTimeZone()));
    stem_ = start;
    // A run that starts in the same second as another gets a name with "_1", "_2", ...
    for (int i = 1; access((stem_ + ".log").c_str(), F_OK) == 0; ++i) {
      stem_ = absl::StrCat(start, "_", i);
    }
    FT_ASSIGN_OR_RETURN(text_, AppendFile::Open(stem_ + ".log"));
    FT_ASSIGN_OR_RETURN(json_, AppendFile::Open(stem_ + ".jsonl"));
    status_.pid = getpid();
    status_files_.emplace(options_.work_dir);
    if (options_.tensorboard) {
      FT_ASSIGN_OR_RETURN(events_, EventFile::Create(options_.work_dir, options_.host));
    }
    return absl::OkStatus();
  }

  // Encodes the images before it locks the mutex, so that the run's own lines do not wait.
  absl::Status WriteFirstBatch(const ContactSheet& images, int64_t iteration) {
    FT_ASSIGN_OR_RETURN(const FirstBatch batch, EncodeFirstBatch(images, iteration));
    FT_RETURN_IF_ERROR(WriteFileAtomically(FirstBatchPath(options_.work_dir), ToJson(batch)));
    if (!options_.tensorboard) return absl::OkStatus();
    FT_ASSIGN_OR_RETURN(const ImageFile grid, ToImageFile(images));
    const std::lock_guard lock(mutex_);
    return events_->AddImage(iteration, "train/first_batch", grid);
  }

  void SayLocked(spdlog::level::level_enum level, const std::string& text) {
    progress_.Clear();
    logger_->log(level, "{}", text);
  }

  void NoteTraining(const IterationRecord& record, absl::Duration pause) {
    status_.training = record;
    status_.validation_done = status_.validation_total = 0;
    WriteStatus(pause);
  }

  void Note(const IterationRecord& record) { NoteTraining(record, StatusFiles::kPause); }

  void Note(const EvaluationRecord& record) {
    status_.validation = record;
    status_.validation->classes.clear();
    status_.validation->confusion.clear();
    status_.validation_done = status_.validation_total = 0;
    WriteStatus();
  }

  void NoteWarning(const std::string& text) {
    const double now = static_cast<double>(absl::ToUnixMillis(absl::Now())) / 1000;
    status_.warnings.push_back({now, text});
    if (status_.warnings.size() > RunStatus::kMostWarnings) {
      status_.warnings.erase(status_.warnings.begin());
    }
    WriteStatus(StatusFiles::kPause);
  }

  // Writes the status if the last write was at least `pause` ago.
  void WriteStatus(absl::Duration pause = absl::ZeroDuration()) {
    // A run that is refused before Run() has no name and no progress yet.
    if (!started_ || !status_files_.has_value()) return;
    const absl::Time now = absl::Now();
    if (status_files_->IsDue(now, pause)) Failed(status_files_->Write(status_, now));
  }

  // Keeps the first error in writing a file and prints it to stderr. It cannot be logged, because
  // it is the log that failed.
  void Failed(const absl::Status& status) {
    if (status.ok() || !first_error_.ok()) return;
    first_error_ = status;
    std::fprintf(stderr, "warning: %s; the run goes on, its records may miss lines\n",
                 std::string(status.message()).c_str());
  }

  const RunLogOptions options_;
  const bool watched_ = IsWatched();
  std::mutex mutex_;
  std::string stem_;
  std::optional<AppendFile> text_, json_;
  std::optional<EventFile> events_;
  RunStatus status_;
  std::optional<StatusFiles> status_files_;  // only on rank 0
  bool started_ = false;                     // whether Run() was called
  ProgressLine progress_{stdout, watched_&& options_.verbosity != Verbosity::kQuiet};
  absl::Status first_error_;
  std::shared_ptr<FileSink> file_;  // only on rank 0
  std::unique_ptr<spdlog::logger> logger_;
  std::future<void> first_batch_;  // the thread of StartFirstBatch()
};

absl::StatusOr<std::unique_ptr<RunLog>> RunLog::Open(const RunLogOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  FT_RETURN_IF_ERROR(impl->Open());
  return std::unique_ptr<RunLog>(new RunLog(std::move(impl)));
}

RunLog::RunLog(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RunLog::~RunLog() { (void)impl_->Close(); }

void RunLog::Info(const std::string& text) { impl_->Say(spdlog::level::info, text); }
void RunLog::Warning(const std::string& text) { impl_->Say(spdlog::level::warn, text); }
void RunLog::Error(const std::string& text) { impl_->Error(text); }
void RunLog::Run(const RunRecord& record) { impl_->Tell(record); }
void RunLog::ShowFirstBatch(ContactSheet images, int64_t iteration) {
  impl_->StartFirstBatch(std::move(images), iteration);
}
void RunLog::Iteration(const IterationRecord& record) { impl_->Tell(record); }
void RunLog::Progress(const IterationRecord& record) { impl_->Draw(record); }
void RunLog::EvaluationProgress(int64_t done, int64_t total) { impl_->DrawEvaluation(done, total); }
void RunLog::Evaluation(const EvaluationRecord& record) { impl_->Tell(record); }
void RunLog::Saved(const std::string& file, int64_t iteration) { impl_->Saved(file, iteration); }
void RunLog::EndEarly(const EndRecord& record) { impl_->EndEarly(record); }
void RunLog::Best(const RunStatus::Best& best) { impl_->Best(best); }
void RunLog::End(RunState state) { impl_->End(state); }
const std::string& RunLog::stem() const { return impl_->stem(); }
absl::Status RunLog::Close() { return impl_->Close(); }

}  // namespace finetune
