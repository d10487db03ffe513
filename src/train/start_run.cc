#include "src/train/start_run.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "src/base/annotate.h"
#include "src/comm/agreement.h"
#include "src/config/print.h"
#include "src/observe/record.h"
#include "src/observe/run_status.h"
#include "src/optim/optimizer.h"
#include "src/optim/validation_metric.h"
#include "src/train/run_folder.h"

namespace finetune {
namespace {

// The progress as numbers, so that one sum gives rank 0's to all ranks: Flatten() and Unflatten()
// are inverse.
std::vector<double> Flatten(const Progress& progress, size_t keep_best) {
  const EarlyStoppingState& stopping = progress.early_stopping;
  const PlateauState& plateau = progress.plateau;
  std::vector<double> flat = {static_cast<double>(progress.iteration),
                              progress.validation_due ? 1.0 : 0.0,
                              progress.statistics_due ? 1.0 : 0.0,
                              stopping.best.has_value() ? 1.0 : 0.0,
                              stopping.best.value_or(0),
                              static_cast<double>(stopping.best_iteration),
                              static_cast<double>(stopping.without),
                              plateau.best.has_value() ? 1.0 : 0.0,
                              plateau.best.value_or(0),
                              static_cast<double>(plateau.without),
                              static_cast<double>(plateau.cooldown),
                              static_cast<double>(plateau.reductions),
                              static_cast<double>(progress.best.size())};
  for (const BestValidation& one : progress.best) {
    flat.push_back(one.value);
    flat.push_back(static_cast<double>(one.iteration));
  }
  flat.resize(flat.size() + 2 * (keep_best - progress.best.size()));
  return flat;
}

Progress Unflatten(const std::vector<double>& flat) {
  auto next = flat.begin();
  const auto count = [&next] { return static_cast<int64_t>(*next++); };
  const auto optional = [&next] {
    const bool has = *next++ != 0;
    const double value = *next++;
    return has ? std::optional<double>(value) : std::nullopt;
  };
  Progress progress;
  progress.iteration = count();
  progress.validation_due = *next++ != 0;
  progress.statistics_due = *next++ != 0;
  progress.early_stopping.best = optional();
  progress.early_stopping.best_iteration = count();
  progress.early_stopping.without = count();
  progress.plateau.best = optional();
  progress.plateau.without = count();
  progress.plateau.cooldown = count();
  progress.plateau.reductions = count();
  progress.best.resize(static_cast<size_t>(*next++));
  for (BestValidation& one : progress.best) {
    one.value = *next++;
    one.iteration = count();
  }
  return progress;
}

class Starter {
 public:
  Starter(const LoadedConfig& loaded, const TrainOptions& options, Communicator* comm)
      : loaded_(loaded),
        config_(loaded.config),
        options_(options),
        comm_(*comm),
        folder_(&options),
        run_(std::make_unique<StartedRun>(comm)) {}

  absl::StatusOr<std::unique_ptr<StartedRun>> Start() {
    absl::StatusOr<bool> resumes = false;
    if (IsMain()) resumes = CheckpointKeeper::WillFind(options_.work_dir, options_.resume);
    FT_RETURN_IF_ERROR(Agree(resumes.status(), comm_));
    FT_ASSIGN_OR_RETURN(run_->setup,
                        Prepare(loaded_, /*evaluated=*/nullptr, *resumes, options_.trace, &comm_));
    FT_RETURN_IF_ERROR(BuildStep());
    // All checks that can refuse the run come before the first write.
    FT_RETURN_IF_ERROR(Agree(Restore(), comm_));
    FT_RETURN_IF_ERROR(Agree(OpenFolder(), comm_));
    if (absl::Status taken = TakeStateOfMain(); !taken.ok()) {
      if (IsMain()) run_->log->Error(std::string(taken.message()));
      return taken;
    }
    RecordRun();
    return std::move(run_);
  }

 private:
  bool IsMain() const { return comm_.rank() == 0; }

  absl::Status BuildStep() {
    FT_ASSIGN_OR_RETURN(run_->step,
                        TrainingStep::Create(config_, run_->setup.device, run_->setup.model.get(),
                                             &comm_, run_->setup.class_weights,
                                             run_->setup.train->sampler().iterations_per_epoch()));
    const Sampler& sampler = run_->setup.train->sampler();
    run_->meta.config_text = PrintConfig(loaded_, /*with_origins=*/false);
    run_->meta.seed = config_.runtime().seed();
    run_->meta.iterations_per_epoch = sampler.iterations_per_epoch();
    run_->meta.total_batch = sampler.total_batch;
    run_->meta.data = run_->setup.data;
    run_->meta.keep_best = static_cast<size_t>(config_.runtime().checkpoint().keep_best());
    run_->meta.metrics.best = config_.runtime().checkpoint().best_metric();
    if (config_.schedule().has_early_stopping()) {
      const ValidationMetric metric = EarlyStoppingMetric(config_);
      run_->meta.metrics.early_stopping = metric;
      run_->early_stopping.emplace(config_.schedule().early_stopping(), HigherIsBetter(metric));
    }
    if (config_.schedule().has_plateau()) {
      run_->meta.metrics.plateau = config_.schedule().plateau().metric();
    }
    const double lr = ScaledLearningRate(config_.schedule(),
                                         FindLearningRate(config_.optimizer()).value.value_or(0),
                                         run_->meta.total_batch);
    run_->schedule = std::make_unique<LearningRateSchedule>(config_.schedule(), lr,
                                                            run_->meta.iterations_per_epoch);
    int64_t last = run_->schedule->total_iterations();
    if (options_.max_iterations > 0) last = std::min(last, options_.max_iterations);
    run_->calendar.emplace(config_, run_->meta.iterations_per_epoch, last,
                           run_->setup.val != nullptr);
    return absl::OkStatus();
  }

  // Rank 0 reads the checkpoint that --resume names. The other ranks get all of it from rank 0.
  absl::Status Restore() {
    if (!IsMain()) return absl::OkStatus();
    FT_ASSIGN_OR_RETURN(source_, folder_.ReadSource());
    if (!source_.has_value()) return absl::OkStatus();
    const Value root = std::exchange(source_->root, Value());
    absl::StatusOr<Restored> restored =
        RestoreCheckpoint(root, run_->meta, loaded_, options_.other_data, run_->setup.model.get(),
                          &run_->step->optimizer(), run_->step->average());
    FT_RETURN_IF_ERROR(
        Annotate(restored.status(), absl::StrCat("cannot resume from ", source_->path)));
    run_->progress = restored->progress;
    for (std::string& note : restored->notes) run_->setup.notes.push_back(std::move(note));
    for (std::string& warning : restored->warnings)
      run_->setup.warnings.push_back(std::move(warning));
    return absl::OkStatus();
  }

  // Opens the work_dir and the log. This is the first step that creates files.
  absl::Status OpenFolder() {
    if (IsMain()) {
      FT_ASSIGN_OR_RETURN(run_->keeper, folder_.Open(config_.runtime().checkpoint().keep_last()));
    }
    RunLogOptions log;
    log.work_dir = options_.work_dir;
    log.rank = comm_.rank();
    log.tensorboard = config_.runtime().tensorboard();
    log.verbosity = options_.verbosity;
    log.host = comm_.host(comm_.rank());
    FT_ASSIGN_OR_RETURN(run_->log, RunLog::Open(log));
    comm_.SetWarn(
        [log = run_->log.get()](absl::string_view text) { log->Warning(std::string(text)); });
    if (comm_.local_rank() == 0) {
      for (const std::string& warning : run_->setup.host_warnings) run_->log->Warning(warning);
    }
    if (!IsMain()) return absl::OkStatus();
    FT_RETURN_IF_ERROR(folder_.WriteConfig(loaded_));
    TellOfStart();
    if (!options_.resume.empty()) TellOfResume();
    return source_.has_value() ? MatchBest() : absl::OkStatus();
  }

  // Makes the work_dir and the progress agree on which checkpoints are the best.
  absl::Status MatchBest() {
    Progress& progress = run_->progress;
    if (!config_.runtime().checkpoint().save_best() || progress.best.empty()) {
      return absl::OkStatus();
    }
    const int64_t first = progress.best.front().iteration;
    FT_ASSIGN_OR_RETURN(const std::optional<int64_t> best, run_->keeper->BestIteration());
    bool matches = best == first;
    // The run ended after it had written its best checkpoint and before best.pth named it.
    if (!matches && folder_.in_place() && first == progress.iteration) {
      FT_ASSIGN_OR_RETURN(matches, run_->keeper->PointBest(progress.iteration));
    }
    if (matches) {
      std::erase_if(progress.best, [&](const BestValidation& one) {
        return one.iteration != first && !run_->keeper->HasIteration(one.iteration);
      });
      return absl::OkStatus();
    }
    // The run continues in another work_dir, or from a checkpoint that is older than its best one.
    run_->log->Info(
        absl::StrFormat("%s has no best.pth of iteration %d, the best of the resumed run: the "
                        "next validation counts as the best",
                        options_.work_dir, first));
    progress.best.clear();
    return absl::OkStatus();
  }

  void TellOfStart() {
    run_->log->Info(absl::StrCat("config ", loaded_.file, ", work_dir ", options_.work_dir));
    for (const std::string& note : run_->setup.notes) run_->log->Info(note);
    for (const std::string& warning : run_->setup.warnings) run_->log->Warning(warning);
    for (const std::string& warning : folder_.warnings()) run_->log->Warning(warning);
    int64_t all = 0;
    for (const NamedTensor& parameter : run_->setup.model->parameters())
      all += parameter.tensor.numel();
    int64_t trained = 0;
    for (const ParameterSpan& parameter : run_->step->parameters()) trained += parameter.count;
    run_->log->Info(absl::StrFormat(
        "%d images an iteration, %d iterations an epoch, %d in all; %.2f of %.2f "
        "million parameters are trained",
        run_->meta.total_batch, run_->meta.iterations_per_epoch, run_->calendar->last_iteration(),
        static_cast<double>(trained) / 1e6, static_cast<double>(all) / 1e6));
    if (run_->step->average() != nullptr) {
      const OptimizerConfig& optimizer = config_.optimizer();
      run_->log->Info(absl::StrFormat(
          "validations use the averaged weights (optimizer.%s), and so best.pth is the checkpoint "
          "with the best average; checkpoints hold both",
          optimizer.has_swa()
              ? absl::StrFormat("swa, from the end of epoch %d on", optimizer.swa().first_epoch())
              : absl::StrFormat("ema, decay %g", optimizer.ema().decay())));
    }
  }

  void TellOfResume() {
    if (!source_.has_value()) {
      run_->log->Info(absl::StrCat("no checkpoint in ", options_.work_dir,
                                   " to resume from; starting from the beginning"));
      return;
    }
    for (const std::string& damaged : source_->skipped) {
      run_->log->Warning(absl::StrCat("passed over: ", damaged));
    }
    run_->log->Info(absl::StrFormat("resumed from %s at iteration %d", source_->path,
                                    run_->progress.iteration));
    if (run_->StoppedEarly()) {
      run_->log->Warning(absl::StrCat("the run is over: ", run_->WhyStoppedEarly(),
                                      ". To go on, raise schedule.early_stopping.patience, or "
                                      "reset \"schedule.early_stopping\""));
    } else if (run_->progress.iteration >= run_->calendar->last_iteration() &&
               !run_->progress.validation_due && !run_->progress.statistics_due) {
      run_->log->Warning(absl::StrFormat(
          "the run is over: it has all of its %d iterations. A longer one: raise schedule.%s",
          run_->calendar->last_iteration(),
          options_.max_iterations > 0 && options_.max_iterations <= run_->progress.iteration
              ? "max_epochs or max_iterations, or --max_iterations"
          : config_.schedule().has_max_epochs() ? "max_epochs"
                                                : "max_iterations"));
    }
  }

  // Copies rank 0's model, optimizer and progress to all ranks, whatever each rank has read.
  absl::Status TakeStateOfMain() {
    for (const NamedTensor& tensor : run_->setup.model->State()) {
      FT_RETURN_IF_ERROR(comm_.Broadcast(tensor.tensor, 0));
    }
    for (const NamedTensor& state : run_->step->optimizer().State()) {
      FT_RETURN_IF_ERROR(comm_.Broadcast(state.tensor, 0));
    }
    if (const WeightAverage* average = run_->step->average()) {
      for (const at::Tensor& tensor : average->averages()) {
        FT_RETURN_IF_ERROR(comm_.Broadcast(tensor, 0));
      }
    }
    run_->setup.model->ParametersChanged(/*all=*/true);
    std::vector<double> progress = Flatten(run_->progress, run_->meta.keep_best);
    if (!IsMain()) std::fill(progress.begin(), progress.end(), 0.0);
    FT_RETURN_IF_ERROR(comm_.AllReduceSum(absl::MakeSpan(progress)));
    run_->progress = Unflatten(progress);
    run_->setup.train->Seek(run_->progress.iteration / run_->meta.iterations_per_epoch,
                            run_->progress.iteration % run_->meta.iterations_per_epoch);
    return absl::OkStatus();
  }

  void RecordRun() {
    RunRecord record;
    record.name = config_.name();
    record.host = comm_.host(comm_.rank());
    record.ranks = comm_.size();
    record.iteration = run_->progress.iteration;
    record.began_unix_s = static_cast<double>(absl::ToUnixMillis(absl::Now())) / 1000;
    record.class_names = run_->meta.data.classes;
    run_->log->Run(record);
    if (source_.has_value() && folder_.in_place()) {
      run_->log->Saved(std::filesystem::path(source_->path).filename().string(),
                       run_->progress.iteration);
    }
  }

  const LoadedConfig& loaded_;
  const ExperimentConfig& config_;
  const TrainOptions& options_;
  Communicator& comm_;
  RunFolder folder_;
  std::unique_ptr<StartedRun> run_;
  // The checkpoint from which the run continues; only on rank 0. Its tensors are freed as soon as
  // the model and the optimizer have been restored.
  std::optional<FoundCheckpoint> source_;
};

}  // namespace

std::string StartedRun::WhyStoppedEarly() const {
  const EarlyStoppingState& state = progress.early_stopping;
  const ValidationMetric metric = *meta.metrics.early_stopping;
  return absl::StrFormat(
      "stopped early after iteration %d, because the last %s found no better %s than %s after "
      "iteration %d (schedule.early_stopping)",
      progress.iteration,
      state.without == 1 ? "validation" : absl::StrCat(state.without, " validations"),
      NameOf(metric), MetricText(NameOf(metric), state.best.value_or(0)), state.best_iteration);
}

absl::StatusOr<std::unique_ptr<StartedRun>> StartRun(const LoadedConfig& loaded,
                                                     const TrainOptions& options,
                                                     Communicator* comm) {
  return Starter(loaded, options, comm).Start();
}

}  // namespace finetune
