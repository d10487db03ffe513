// Trains a few iterations under LibTorch's profiler and writes the GPU's kernels as JSON, for
// ui.perfetto.dev and chrome://tracing.
//
//   profile_gpu --config=FILE [--set=PATH=VALUE ...] --work_dir=DIR --iterations=N --trace=FILE
//
// Runs on one rank. Without a GPU, unless the config demands one, the trace has the CPU's operators
// instead.
#include <torch/csrc/autograd/profiler_kineto.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "src/comm/create_communicator.h"
#include "src/comm/mpi/mpi_session.h"
#include "src/config/config.h"
#include "src/config/field_error.h"
#include "src/config/search.h"
#include "src/host/gpus.h"
#include "src/train/train.h"

namespace finetune {
namespace {

struct Flags {
  std::string config, work_dir, trace;
  std::vector<std::string> set, config_path;
  int64_t iterations = 8;
};

absl::Status Profile(const Flags& flags, const MpiSession& session) {
  namespace profiler = torch::profiler::impl;
  LoadOptions load;
  load.search_path = ConfigSearchPath(flags.config_path);
  load.overrides = flags.set;
  FT_ASSIGN_OR_RETURN(const LoadedConfig loaded, LoadConfig(flags.config, load));
  TrainOptions options;
  options.work_dir = flags.work_dir;
  options.overwrite = true;
  options.max_iterations = flags.iterations;
  FT_ASSIGN_OR_RETURN(const std::unique_ptr<Communicator> comm,
                      CreateCommunicator(session, loaded.config.comm(),
                                         loaded.config.runtime().device(), CommObserver()));
  const bool gpu = comm->device() >= 0;
  const std::set<profiler::ActivityType> activities = {gpu ? profiler::ActivityType::CUDA
                                                           : profiler::ActivityType::CPU};
  const profiler::ProfilerConfig config(profiler::ProfilerState::KINETO);
  torch::autograd::profiler::prepareProfiler(config, activities);
  torch::autograd::profiler::enableProfiler(config, activities, {at::RecordScope::FUNCTION});
  const absl::StatusOr<TrainResult> result = Train(loaded, options, comm.get());
  const auto events = torch::autograd::profiler::disableProfiler();
  FT_RETURN_IF_ERROR(result.status());
  events->save(flags.trace);
  std::printf("%lld iterations on %s in %s\n", static_cast<long long>(result->iterations),
              gpu ? VisibleGpus().name.c_str() : "the CPU", flags.trace.c_str());
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Trains a few iterations and writes what the GPU did.");
  app.add_option("--config", flags.config, "As finetune's")->required();
  app.add_option("--config_path", flags.config_path, "As finetune's");
  app.add_option("--set", flags.set, "As finetune's")->take_all();
  app.add_option("--work_dir", flags.work_dir, "As finetune's")->required();
  app.add_option("--iterations", flags.iterations, "(default 8)")->check(CLI::Range(1, 1000));
  app.add_option("--trace", flags.trace, "The JSON to write")->required();
  CLI11_PARSE(app, argc, argv);
  const absl::StatusOr<MpiSession> session = MpiSession::Start(&argc, &argv);
  const absl::Status status = session.ok() ? Profile(flags, *session) : session.status();
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace finetune

int main(int argc, char** argv) { return finetune::Main(argc, argv); }
