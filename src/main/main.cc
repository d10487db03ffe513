// finetune: parses flags, starts MPI, and hands over to src/train.

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "src/base/annotate.h"
#include "src/comm/agreement.h"
#include "src/comm/create_communicator.h"
#include "src/comm/mpi/mpi_session.h"
#include "src/config/config.h"
#include "src/config/expand_paths.h"
#include "src/config/print.h"
#include "src/config/search.h"
#include "src/host/affinity.h"
#include "src/host/build_id.h"
#include "src/host/launch_environment.h"
#include "src/main/flags.h"
#include "src/main/uncaught.h"
#include "src/observe/report.h"
#include "src/observe/trace.h"
#include "src/observe/trace_file.h"
#include "src/plan/command.h"
#include "src/tensor/large_tensor_memory.h"
#include "src/train/evaluate_checkpoint.h"
#include "src/train/train.h"
#include "src/validate/validate.h"

namespace finetune {
namespace {

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr int kStopped = 75;  // EX_TEMPFAIL: run again with --resume=auto

int Report(const absl::Status& status, int rank) {
  // Errors that all ranks have agreed on are said once.
  if (rank == 0) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
      return kUsage;
    default:
      return kFailed;
  }
}

// Has the communicator record its collectives: those of the CPU's memory on one track, and, once
// there is one, a GPU's on another.
CommObserver Observe(Trace* trace) {
  CommObserver observer;
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

// For what a run that is done and saved can do without.
void Warn(const char* what, const absl::Status& status) {
  std::fprintf(stderr, "warning: %s: %s\n", what, std::string(status.message()).c_str());
}

void WriteTrace(const std::string& path, const TraceFile& file, const Trace& trace,
                Communicator* comm) {
  const absl::StatusOr<uint64_t> dropped = file.Write(trace, comm);
  if (comm->rank() != 0) return;
  if (!dropped.ok()) return Warn("no trace", dropped.status());
  std::printf("trace %s", path.c_str());
  if (*dropped > 0) {
    std::printf(": the last events of each track; %llu before them were dropped",
                static_cast<unsigned long long>(*dropped));
  }
  std::printf("\n");
}

// `trace` is null where nothing is recorded.
absl::StatusOr<int> RunOnRanks(const CommandLine& line, const LoadedConfig& loaded, Trace* trace,
                               Communicator* comm) {
  if (line.command == CommandLine::Command::kEvaluate) {
    FT_ASSIGN_OR_RETURN(
        Evaluation result,
        EvaluateCheckpoint(
            loaded, {line.checkpoint, line.key, {line.prefix, line.adapt_input_channels}}, comm));
    if (comm->rank() == 0) {
      std::printf("%lld pictures, loss %.4f", static_cast<long long>(result.pictures), result.loss);
      for (const auto& top : result.topk) {
        std::printf(", top-%d accuracy %.2f %%", top.k, 100 * top.accuracy);
      }
      std::printf(" (%.1f pictures/s)\n", static_cast<double>(result.pictures) / result.seconds);
    }
    return kDone;
  }
  TrainOptions options;
  options.work_dir = !line.work_dir.empty() ? line.work_dir
                     : !loaded.config.runtime().work_dir().empty()
                         ? loaded.config.runtime().work_dir()
                         : "work_dirs/" + loaded.config.name();
  options.resume = line.resume;
  options.overwrite = line.overwrite;
  options.other_data = line.other_data;
  options.max_iterations = line.max_iterations;
  options.trace = trace;
  std::optional<TraceFile> trace_file;
  if (trace != nullptr) {
    absl::StatusOr<TraceFile> opened = TraceFile::Open(line.trace, comm);
    FT_RETURN_IF_ERROR(Annotate(opened.status(), "--trace"));
    trace_file = *std::move(opened);
  }
  FT_ASSIGN_OR_RETURN(TrainResult result, Train(loaded, options, comm));
  if (trace != nullptr) WriteTrace(line.trace, *trace_file, *trace, comm);
  if (comm->rank() == 0) {
    const absl::StatusOr<std::string> report = WriteReport(options.work_dir);
    if (!report.ok()) Warn("no report", report.status());
  }
  return result.stopped ? kStopped : kDone;
}

int Main(int argc, char** argv) {
  NameRankInUncaughtExceptions();
  UseLargeTensorMemory();
  absl::StatusOr<CommandLine> line =
      ParseCommandLine(std::vector<std::string>(argv + 1, argv + argc));
  // Every rank would say the same of a wrong flag; only the launcher's rank 0 does.
  const int launch_rank = LaunchRank();
  if (!line.ok()) return Report(line.status(), launch_rank);
  if (line->command == CommandLine::Command::kHelp) {
    if (launch_rank == 0) std::printf("%s", line->help.c_str());
    return kDone;
  }
  if (line->command == CommandLine::Command::kVersion) {
    if (launch_rank == 0) std::printf("finetune, build %s\n", BuildId().c_str());
    return kDone;
  }
  if (line->command == CommandLine::Command::kReport) {
    if (launch_rank != 0) return kDone;
    const absl::StatusOr<std::string> report = WriteReport(line->work_dir);
    if (!report.ok()) return Report(report.status(), launch_rank);
    std::printf("%s\n", report->c_str());
    return kDone;
  }
  LoadOptions load;
  load.search_path = ConfigSearchPath(line->config_path);
  load.overrides = line->set;
  absl::StatusOr<LoadedConfig> loaded = LoadConfig(line->config, load);
  if (line->command == CommandLine::Command::kConfig) {
    if (!loaded.ok()) return Report(loaded.status(), launch_rank);
    if (launch_rank == 0) std::printf("%s", PrintConfig(*loaded, line->origins).c_str());
    // What depends on the data and the ranks is left to a run.
    const absl::Status valid = ValidateConfig(*loaded, RunFacts()).status();
    return valid.ok() ? kDone : Report(valid, launch_rank);
  }
  if (loaded.ok()) {
    if (absl::Status expanded = ExpandPaths(&*loaded); !expanded.ok()) loaded = expanded;
  }
  if (line->command == CommandLine::Command::kPlan) {
    if (launch_rank != 0) return kDone;
    absl::StatusOr<std::string> plan = loaded.ok() ? RunPlan(*loaded, line->plan) : loaded.status();
    if (!plan.ok()) {
      return Report(loaded.ok() ? loaded->WithPlace(plan.status()) : plan.status(), launch_rank);
    }
    std::printf("%s", plan->c_str());
    return kDone;
  }

  RestartUnbound(argv);
  absl::StatusOr<MpiSession> session = MpiSession::Start(&argc, &argv);
  if (!session.ok()) return Report(session.status(), launch_rank);
  // Before the communicator, whose thread records in it to its end.
  std::optional<Trace> trace;
  if (!line->trace.empty()) trace.emplace();
  absl::StatusOr<std::unique_ptr<Communicator>> comm =
      CreateCommunicator(*session, loaded.ok() ? loaded->config.comm() : CommConfig(),
                         loaded.ok() ? loaded->config.runtime().device() : RuntimeConfig::CPU,
                         trace.has_value() ? Observe(&*trace) : CommObserver());
  if (!comm.ok()) {
    return Report(loaded.ok() ? loaded->WithPlace(comm.status()) : comm.status(), launch_rank);
  }
  const int rank = (*comm)->rank();
  // A config may be missing on one host only.
  if (absl::Status agreed = Agree(loaded.status(), **comm); !agreed.ok()) {
    return Report(agreed, rank);
  }
  absl::StatusOr<int> code =
      RunOnRanks(*line, *loaded, trace.has_value() ? &*trace : nullptr, comm->get());
  return code.ok() ? *code : Report(loaded->WithPlace(code.status()), rank);
}

}  // namespace
}  // namespace finetune

int main(int argc, char** argv) { return finetune::Main(argc, argv); }
