#include "src/main/commands/train.h"

#include <cstdint>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "src/base/annotate.h"
#include "src/base/exit_code.h"
#include "src/observe/report.h"
#include "src/observe/trace_file.h"

namespace finetune {
namespace {

// Prints a warning about an output that is not essential. The run has ended and is saved.
void Warn(const char* what, const absl::Status& status) {
  std::fprintf(stderr, "warning: %s: %s\n", what, std::string(status.message()).c_str());
}

// Writes the trace and prints its path. `quiet`: prints nothing unless events were dropped.
void WriteTrace(const std::string& path, const TraceFile& file, const Trace& trace, bool quiet,
                Communicator* comm) {
  const absl::StatusOr<uint64_t> dropped = file.Write(trace, comm);
  if (comm->rank() != 0) return;
  if (!dropped.ok()) return Warn("no trace", dropped.status());
  if (quiet && *dropped == 0) return;
  std::printf("trace %s", path.c_str());
  if (*dropped > 0) {
    std::printf(": the last events of each track; %llu before them were dropped",
                static_cast<unsigned long long>(*dropped));
  }
  std::printf("\n");
}

}  // namespace

std::vector<std::string> TrainCommand::examples() const {
  return {"mpirun -np 8 finetune --config=resnet50_cifar.pbtxt --set=optimizer.sgd.lr=0.02",
          "mpirun -np 8 finetune --config=resnet50_cifar.pbtxt --work_dir=DIR --resume=auto"};
}

void TrainCommand::AddFlags(FlagList* flags) {
  config_.AddTo(flags);
  flags->Path(Flag::Kind::kFolder, "--work_dir", "DIR",
              "For logs and checkpoints (default: runtime.work_dir, else work_dirs/NAME)",
              &options_.work_dir);
  flags
      ->Path(Flag::Kind::kFile, "--resume", "auto|PTH",
             "Go on from a checkpoint; auto: the work_dir's last whole one, if any",
             &options_.resume)
      ->choices = {"auto"};
  flags->Switch("--allow_other_data", "Resume also where the data differ from the checkpoint's",
                &options_.other_data);
  flags->Switch("--overwrite", "Begin again in a work_dir that holds an earlier run",
                &options_.overwrite);
  flags->WholeNumber("--max_iterations", "Stop after so many, counted from the run's beginning", 1,
                     &options_.max_iterations);
  flags->Path(Flag::Kind::kFile, "--trace", "JSON",
              "Write where every rank's time went, for ui.perfetto.dev", &trace_path_);
  flags->Switch("--quiet", "Show warnings and errors alone; the log's files have all", &quiet_);
  flags->Switch("--verbose", "Show every iteration, not every runtime.log_interval", &verbose_);
}

absl::Status TrainCommand::Check() const {
  FT_RETURN_IF_ERROR(config_.Check());
  if (options_.other_data && options_.resume.empty()) {
    return absl::InvalidArgumentError(
        "--allow_other_data is for a run that goes on: give --resume too");
  }
  if (options_.overwrite && !options_.resume.empty()) {
    return absl::InvalidArgumentError(
        "--overwrite begins again and --resume goes on: give one of them");
  }
  if (quiet_ && verbose_) {
    return absl::InvalidArgumentError(
        "--quiet shows less and --verbose shows more: give one of them");
  }
  return absl::OkStatus();
}

// Records the collectives in the trace: those on CPU memory on one track, and those on GPU memory
// on another, which is added at the first such collective.
CommObserver TrainCommand::Observer() {
  CommObserver observer;
  if (trace_path_.empty()) return observer;
  Trace* const trace = &trace_.emplace();
  TraceTrack* const cpu = trace->AddTrack("communication", "bytes");
  TraceTrack* gpu = nullptr;
  observer.event = [trace, cpu, gpu](const CollectiveEvent& event) mutable {
    if (event.device >= 0 && gpu == nullptr) {
      gpu = trace->AddTrack(absl::StrCat("communication of GPU ", event.device), "bytes");
    }
    TraceTrack* const track = event.device < 0 ? cpu : gpu;
    track->Add({event.name, absl::ToUnixNanos(event.began), absl::ToUnixNanos(event.ended),
                event.bytes, absl::ToUnixNanos(event.submitted)});
  };
  return observer;
}

absl::StatusOr<int> TrainCommand::RunOnRanks(const LoadedConfig& loaded, Communicator* comm) {
  TrainOptions options = options_;
  options.verbosity = quiet_     ? Verbosity::kQuiet
                      : verbose_ ? Verbosity::kVerbose
                                 : Verbosity::kNormal;
  if (options.work_dir.empty()) options.work_dir = loaded.config.runtime().work_dir();
  if (options.work_dir.empty()) options.work_dir = "work_dirs/" + loaded.config.name();
  std::optional<TraceFile> trace_file;
  if (trace_.has_value()) {
    options.trace = &*trace_;
    absl::StatusOr<TraceFile> opened = TraceFile::Open(trace_path_, comm);
    FT_RETURN_IF_ERROR(Annotate(opened.status(), "--trace"));
    trace_file = *std::move(opened);
  }
  FT_ASSIGN_OR_RETURN(const TrainResult result, Train(loaded, options, comm));
  if (trace_file.has_value()) WriteTrace(trace_path_, *trace_file, *trace_, quiet_, comm);
  if (comm->rank() == 0) {
    const absl::StatusOr<std::string> report = WriteReport(options.work_dir);
    if (!report.ok()) Warn("no report", report.status());
  }
  return result.stopped ? kExitStopped : kExitDone;
}

}  // namespace finetune
