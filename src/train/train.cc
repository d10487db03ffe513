#include "src/train/train.h"

#include <chrono>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/comm/agreement.h"
#include "src/data/show_batch.h"
#include "src/host/launcher_process.h"
#include "src/observe/contact_sheet.h"
#include "src/observe/first_batch.h"
#include "src/observe/record.h"
#include "src/observe/run_log.h"
#include "src/observe/run_status.h"
#include "src/observe/trace.h"
#include "src/optim/optimizer.h"
#include "src/optim/plateau.h"
#include "src/optim/validation_metric.h"
#include "src/optim/weight_average.h"
#include "src/tensor/finite.h"
#include "src/train/best_validations.h"
#include "src/train/calendar.h"
#include "src/train/device.h"
#include "src/train/iteration_log.h"
#include "src/train/loss_exchange.h"
#include "src/train/snapshot.h"
#include "src/train/start_run.h"
#include "src/train/statistics_pass.h"
#include "src/train/step_graph.h"
#include "src/train/stop_signal.h"
#include "src/train/torch_error.h"
#include "src/train/training_step.h"

namespace finetune {
namespace {

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// `deciding`: metrics that the record has besides those of head.topk.
EvaluationRecord RecordOf(const Evaluation& evaluation, int64_t iteration, const Calendar& calendar,
                          const std::vector<ValidationMetric>& deciding) {
  EvaluationRecord record;
  record.epoch = calendar.Epoch(iteration);
  record.iteration = iteration;
  record.iterations_per_epoch = calendar.iterations_per_epoch();
  record.loss = evaluation.loss;
  for (const Evaluation::TopK& top : evaluation.topk) {
    record.accuracy[Evaluation::Name(top.k)] = top.accuracy;
  }
  for (const ValidationMetric metric : deciding) {
    if (metric != LOSS) record.accuracy[NameOf(metric)] = evaluation.ValueOf(metric);
  }
  record.seconds = evaluation.seconds;
  record.images = evaluation.images;
  record.damaged = evaluation.damaged;
  record.classes = evaluation.classes;
  record.has_guessed = true;
  record.confusion = evaluation.confusion;
  return record;
}

// The loop over a run's iterations.
class Trainer {
 public:
  Trainer(const ExperimentConfig& config, const TrainOptions& options,
          std::unique_ptr<StartedRun> run)
      : config_(config),
        run_(std::move(run)),
        comm_(run_->comm),
        setup_(run_->setup),
        calendar_(*run_->calendar),
        progress_(run_->progress),
        log_(*run_->log),
        track_(options.trace == nullptr ? nullptr : options.trace->AddTrack("step", "iteration")),
        batches_(setup_.train.get(), setup_.device),
        losses_(&comm_),
        iteration_log_(&calendar_, setup_.device, &log_) {}

  absl::StatusOr<TrainResult> Run() {
    absl::StatusOr<TrainResult> result = CatchTorch([this] { return Loop(); });
    if (result.ok()) return result;
    if (IsMain()) {
      log_.Error(std::string(result.status().message()));
      // Waits for a running write: that checkpoint holds work that would otherwise be lost.
      run_->keeper->Finish().IgnoreError();
    }
    // Without Abort() the other ranks would wait for this one.
    if (!IsAgreed(result.status())) comm_.Abort(result.status().message());
    return result;
  }

 private:
  bool IsMain() const { return comm_.rank() == 0; }

  absl::StatusOr<TrainResult> Loop() {
    const std::optional<LauncherProcess> launcher = FindLauncherProcess();
    signals_.emplace(IsMain(), launcher.has_value() && launcher->IsOpenMpis() ? launcher->pid : 0);
    // A resumed run starts with the best validation so far.
    if (!progress_.best.empty()) LogBest();
    TrainResult result;
    // The checkpoint may be of a run that was to end earlier.
    progress_.statistics_due = progress_.statistics_due && StatisticsAreDue();
    if (progress_.statistics_due) {
      FT_ASSIGN_OR_RETURN(result.stopped, ComputeStatistics());
      result.stopped = result.stopped && !IsComplete();
    }
    if (progress_.validation_due && !result.stopped) {
      FT_ASSIGN_OR_RETURN(result.stopped, ValidateAndSave(/*saved=*/false, &result));
      result.stopped = result.stopped && !IsComplete();
    }
    while (progress_.iteration < calendar_.last_iteration() && !run_->StoppedEarly() &&
           !result.stopped) {
      FT_ASSIGN_OR_RETURN(bool stop, Step());
      progress_.validation_due = calendar_.ValidationIsDue(progress_.iteration);
      progress_.statistics_due = StatisticsAreDue();
      // Saves before the validation, so that a failure in the validation loses nothing.
      const bool save = CheckpointIsDue() || stop;
      if (stop) SayThatItSaves();
      if (save) FT_RETURN_IF_ERROR(Save());
      if (progress_.statistics_due && !stop) {
        FT_ASSIGN_OR_RETURN(stop, ComputeStatistics());
      }
      if (progress_.validation_due && !stop) {
        // Damaged data or too little memory make the first validation fail at every restart. So the
        // checkpoint must be completely written before the first validation starts.
        if (save && !result.last.has_value()) FT_RETURN_IF_ERROR(AwaitCheckpoint());
        FT_ASSIGN_OR_RETURN(stop, ValidateAndSave(/*saved=*/save, &result));
      }
      result.stopped = stop && !IsComplete();
    }
    if (IsMain()) FT_RETURN_IF_ERROR(run_->keeper->Finish());
    FT_RETURN_IF_ERROR(comm_.Barrier());
    if (result.stopped) {
      log_.Info(absl::StrFormat("stopped by a signal after iteration %d; go on with --resume=auto",
                                progress_.iteration));
    }
    result.iterations = progress_.iteration;
    if (run_->StoppedEarly()) log_.EndEarly({progress_.iteration, run_->WhyStoppedEarly()});
    log_.End(result.stopped ? RunState::kInterrupted : RunState::kDone);
    FT_RETURN_IF_ERROR(log_.Close());
    return result;
  }

  bool AskedToStop() const { return signals_->received() != 0; }

  // Returns whether the run has nothing left to do.
  bool IsComplete() const {
    return run_->StoppedEarly() || (calendar_.RunEnds(progress_.iteration) &&
                                    !progress_.validation_due && !progress_.statistics_due);
  }

  absl::StatusOr<bool> AnyoneAskedToStop() {
    double asked[1] = {AskedToStop() ? 1.0 : 0.0};
    FT_RETURN_IF_ERROR(comm_.AllReduceSum(absl::MakeSpan(asked)));
    return asked[0] > 0;
  }

  // Waits on every rank until the running write of a checkpoint is complete. Without this wait, a
  // rank that fails would end rank 0 while it writes.
  absl::Status AwaitCheckpoint() {
    comm_.SetActivity(absl::StrCat("writing the checkpoint of iteration ", progress_.iteration));
    if (IsMain()) FT_RETURN_IF_ERROR(run_->keeper->Finish());
    return comm_.Barrier();
  }

  // Logs that the run saves because of a signal, unless the signal was answered when it arrived.
  void SayThatItSaves() {
    if (!IsMain() || signals_->answered()) return;
    log_.Info(absl::StrFormat("asked to stop: saving iteration %d", progress_.iteration));
  }

  // Returns whether the running statistics of the averaged weights are to be computed after this
  // iteration: after the last one of the whole run with optimizer.swa. --max_iterations, which ends
  // only a part of the run, does not count.
  bool StatisticsAreDue() const {
    return config_.optimizer().has_swa() && run_->step->statistics().defined() &&
           progress_.iteration == run_->schedule->total_iterations() &&
           run_->step->AverageAfter(progress_.iteration) != nullptr;
  }

  // Computes the running statistics of the averaged weights from the batches that would come next,
  // and saves them, unless a validation follows, which saves. Returns whether any rank was asked to
  // stop; then the statistics are as before and remain due.
  absl::StatusOr<bool> ComputeStatistics() {
    const TraceSpan span(track_, "batch norm statistics", progress_.iteration);
    const SwaConfig& swa = config_.optimizer().swa();
    const int64_t batches = swa.has_statistics_iterations() ? swa.statistics_iterations()
                                                            : calendar_.iterations_per_epoch();
    bool stop = false;
    {
      const AveragesInPlace averages(run_->step->average());
      setup_.model->ParametersChanged(/*all=*/false);
      StatisticsPass pass(setup_.model.get(), run_->step.get(), &comm_);
      for (int64_t i = 0; i < batches && !stop; ++i) {
        comm_.SetActivity(absl::StrCat("batch norm statistics of the averaged weights, batch ", i));
        FT_ASSIGN_OR_RETURN(const Batch batch, batches_.Next());
        LogSkipped(setup_.train.get());
        pass.Run(
            batch, [this](const Batch& images) { return batches_.Images(images); },
            progress_.iteration + i);
        FT_ASSIGN_OR_RETURN(stop, AnyoneAskedToStop());
      }
      if (!stop) FT_RETURN_IF_ERROR(pass.Finish());
    }
    setup_.model->ParametersChanged(/*all=*/false);
    if (stop) return true;
    progress_.statistics_due = false;
    log_.Info(absl::StrFormat(
        "computed the batch norms' running statistics of the averaged weights from %d training "
        "batches",
        batches));
    if (!progress_.validation_due) FT_RETURN_IF_ERROR(Save());
    return false;
  }

  // Validates, and saves a checkpoint with the result if one of this iteration is to be kept.
  // `saved`: a checkpoint of this iteration, without the result, has been saved. Returns whether
  // any rank was asked to stop.
  absl::StatusOr<bool> ValidateAndSave(bool saved, TrainResult* result) {
    FT_ASSIGN_OR_RETURN(const bool is_best, ValidateForBest(result));
    FT_ASSIGN_OR_RETURN(const bool stop, AnyoneAskedToStop());
    const bool cut_short = progress_.validation_due;
    const bool save =
        cut_short ? !saved : saved || CheckpointIsDue() || is_best || stop || run_->StoppedEarly();
    if (stop && save) SayThatItSaves();
    if (save) FT_RETURN_IF_ERROR(Save());
    return stop;
  }

  // Validates, and updates all decisions that depend on validations. Every rank has the same result
  // and so decides the same. Returns whether a checkpoint of this iteration is to be kept as one of
  // the best. A signal interrupts the validation, which then remains due. Errors:
  // FailedPrecondition for a loss that is not finite.
  absl::StatusOr<bool> ValidateForBest(TrainResult* result) {
    absl::StatusOr<Evaluation> evaluation = Validate();
    if (absl::IsCancelled(evaluation.status())) return false;
    FT_RETURN_IF_ERROR(evaluation.status());
    result->last = *std::move(evaluation);
    progress_.validation_due = false;
    if (!std::isfinite(result->last->loss)) {
      return Diverged(absl::StrFormat("the validation's loss is %g after iteration %d",
                                      std::abs(result->last->loss), progress_.iteration),
                      LearningRate(progress_.iteration - 1));
    }
    const DecidingMetrics& metrics = run_->meta.metrics;
    if (metrics.early_stopping.has_value()) {
      run_->early_stopping->Observe(result->last->ValueOf(*metrics.early_stopping),
                                    progress_.iteration, &progress_.early_stopping);
    }
    if (metrics.plateau.has_value()) LowerRateOnPlateau(result->last->ValueOf(*metrics.plateau));
    if (!AddToBest({result->last->ValueOf(metrics.best), progress_.iteration},
                   HigherIsBetter(metrics.best), run_->meta.keep_best, &progress_.best)) {
      return false;
    }
    LogBest();
    return config_.runtime().checkpoint().save_best();
  }

  void LogBest() {
    const BestValidation& best = progress_.best.front();
    log_.Best({NameOf(run_->meta.metrics.best), best.value, best.iteration});
  }

  void LowerRateOnPlateau(double value) {
    const int64_t before = progress_.plateau.reductions;
    Plateau(config_.schedule().plateau()).Observe(value, &progress_.plateau);
    if (progress_.plateau.reductions == before) return;
    log_.Info(absl::StrFormat("schedule.plateau: %s does not improve; the learning rate is now %g",
                              NameOf(*run_->meta.metrics.plateau),
                              LearningRate(progress_.iteration)));
  }

  double LearningRate(int64_t iteration) const {
    return run_->schedule->At(iteration, progress_.plateau.reductions);
  }

  // Runs one iteration: waits for a batch, computes, checks the losses, logs. Returns whether any
  // rank was asked to stop.
  absl::StatusOr<bool> Step() {
    const Clock::time_point start = Clock::now();
    const TraceSpan iteration(track_, "iteration", progress_.iteration + 1);
    TraceSpan phase(track_, "wait for data");
    comm_.SetActivity(absl::StrCat("iteration ", progress_.iteration, ": waiting for data"));
    FT_ASSIGN_OR_RETURN(const Batch batch, batches_.Next());
    const double data_seconds = Since(start);
    LogSkipped(setup_.train.get());

    ShowFirstBatch(batch);

    comm_.SetActivity(absl::StrCat("iteration ", progress_.iteration, ": computing"));
    const double lr = LearningRate(progress_.iteration);
    FT_ASSIGN_OR_RETURN(const TrainingStep::Result result,
                        run_->step->Run(
                            batch, [this](const Batch& images) { return batches_.Images(images); },
                            /*whole=*/batch.global_size == run_->meta.total_batch, lr,
                            progress_.iteration, [&phase](const char* name) { phase.Next(name); }));
    ++progress_.iteration;

    phase.Next("agree on the loss");
    losses_.Add(progress_.iteration, lr, result.loss);
    // On a GPU the loss is read one iteration late, so that the next step can be queued. Before
    // logging, validating or saving, every loss has been checked.
    const int64_t now = progress_.iteration;
    const bool late = !setup_.device.is_cpu() && !calendar_.LogIsDue(now) &&
                      !calendar_.ValidationIsDue(now) && !CheckpointIsDue();
    FT_ASSIGN_OR_RETURN(const bool stop, ExchangeLosses(late ? 1 : 0));
    if ((stop || warned_) && late) FT_RETURN_IF_ERROR(ExchangeLosses(0).status());
    phase.Next("log");
    if (IsMain()) {
      iteration_log_.Add(
          {now, lr, result.gradient_norm, Since(start), data_seconds, batch.global_size});
    }
    return stop;
  }

  // Records the first images of this process's first batch, once and only on rank 0, for the report
  // and TensorBoard. They are recorded before the step, which an image of wrong values may end. For
  // 224x224 images that takes about 15 ms of one core; encoding and writing go on beside the step.
  void ShowFirstBatch(const Batch& batch) {
    if (!IsMain() || std::exchange(first_batch_shown_, true) || batch.indices.empty()) return;
    const BatchLoader& loader = *setup_.train;
    ContactSheet sheet = SheetFor(loader, kMostFirstImageSide);
    AddToSheet(loader, batch, batches_.Images(batch), kMostFirstImages, &sheet);
    sheet.title =
        absl::StrFormat("%d of the %d images of iteration %d, %dx%d pixels each (height x width)",
                        sheet.images.size(), batch.global_size, progress_.iteration + 1,
                        loader.pipeline().height(), loader.pipeline().width());
    log_.ShowFirstBatch(std::move(sheet), progress_.iteration + 1);
  }

  // Checks the losses of all iterations except the last `left`. Returns whether any rank was asked
  // to stop. Errors: FailedPrecondition for a loss that is not finite.
  absl::StatusOr<bool> ExchangeLosses(size_t left) {
    FT_ASSIGN_OR_RETURN(const LossExchange::Exchanged exchanged,
                        losses_.Exchange(left, {AskedToStop(), signals_->TakeWarning()}));
    warned_ = warned_ || exchanged.any.warned;
    for (const LossExchange::Loss& loss : exchanged.losses) {
      if (!std::isfinite(loss.value)) {
        return Diverged(
            absl::StrFormat("the loss is %g in iteration %d", std::abs(loss.value), loss.iteration),
            loss.lr);
      }
      if (IsMain()) iteration_log_.AddLoss(loss.value);
    }
    return exchanged.any.stop;
  }

  // Returns the error of a run that has diverged. Every rank returns the same error, so no rank
  // needs to abort the others.
  absl::Status Diverged(const std::string& found, double lr) {
    return MarkAgreed(absl::FailedPreconditionError(
        absl::StrFormat("%s: the run has diverged. Try a smaller %s (it is %g), a schedule.warmup "
                        "or an optimizer.clip_gradient",
                        found, FindLearningRate(config_.optimizer()).field, lr)));
  }

  // Logs the damaged images that this rank has skipped.
  void LogSkipped(BatchLoader* loader) {
    for (const std::string& sentence : loader->TakeSkipped()) log_.Warning(sentence);
  }

  bool CheckpointIsDue() const { return warned_ || calendar_.CheckpointIsDue(progress_.iteration); }

  absl::StatusOr<Evaluation> Validate() {
    const TraceSpan span(track_, "validation", progress_.iteration);
    comm_.SetActivity(absl::StrCat("validation after iteration ", progress_.iteration));
    WeightAverage* const average = run_->step->AverageAfter(progress_.iteration);
    std::optional<AveragesInPlace> averages(average);
    setup_.model->ParametersChanged(/*all=*/false);
    FT_ASSIGN_OR_RETURN(Evaluation evaluation,
                        Evaluate(config_.model().head(), setup_.device, setup_.model.get(),
                                 setup_.val.get(), &comm_, [this](int64_t done, int64_t total) {
                                   if (IsMain()) log_.EvaluationProgress(done, total);
                                   return !AskedToStop();
                                 }));
    averages.reset();
    setup_.model->ParametersChanged(/*all=*/false);
    LogSkipped(setup_.val.get());
    if (IsMain()) {
      iteration_log_.SetValidationSeconds(evaluation.seconds);
      const DecidingMetrics& metrics = run_->meta.metrics;
      EvaluationRecord record = RecordOf(
          evaluation, progress_.iteration, calendar_,
          {metrics.best, metrics.early_stopping.value_or(LOSS), metrics.plateau.value_or(LOSS)});
      record.averaged_weights = average != nullptr;
      log_.Evaluation(record);
    }
    return evaluation;
  }

  // Checks that weights and optimizer state are finite, because a run cannot continue from infinite
  // or NaN values. Every rank has the same values and gets the same result.
  absl::Status CheckFinite() {
    TensorList state = setup_.model->State();
    for (const NamedTensor& tensor : run_->step->optimizer().State()) {
      state.push_back({absl::StrCat("the optimizer's ", tensor.name), tensor.tensor});
    }
    const NamedTensor* bad = FirstNotFinite(state);
    if (bad == nullptr) return absl::OkStatus();
    return Diverged(
        absl::StrFormat("%s is not finite after iteration %d", bad->name, progress_.iteration),
        LearningRate(progress_.iteration - 1));
  }

  absl::Status Save() {
    warned_ = false;
    FT_RETURN_IF_ERROR(CheckFinite());
    if (!IsMain()) return absl::OkStatus();
    const TraceSpan span(track_, "checkpoint snapshot", progress_.iteration);
    const std::string name = calendar_.CheckpointName(progress_.iteration);
    std::vector<int64_t> best;
    if (config_.runtime().checkpoint().save_best()) {
      for (const BestValidation& one : progress_.best) best.push_back(one.iteration);
    }
    return run_->keeper->Save(
        name,
        MakeCheckpoint(*setup_.model, run_->step->optimizer(),
                       run_->step->AverageAfter(progress_.iteration), progress_, run_->meta),
        std::move(best),
        [&log = log_, name, iteration = progress_.iteration] { log.Saved(name, iteration); });
  }

  const ExperimentConfig& config_;
  const std::unique_ptr<StartedRun> run_;
  // References to members of run_.
  Communicator& comm_;
  Setup& setup_;
  const Calendar& calendar_;
  Progress& progress_;
  RunLog& log_;
  TraceTrack* const track_;  // null: no trace is recorded
  DeviceBatches batches_;
  LossExchange losses_;
  IterationLog iteration_log_;  // used on rank 0 only
  std::optional<StopSignal> signals_;
  bool first_batch_shown_ = false;
  // The launcher has announced that it may kill a rank soon, so a checkpoint is due.
  bool warned_ = false;
};

}  // namespace

absl::StatusOr<TrainResult> Train(const LoadedConfig& loaded, const TrainOptions& options,
                                  Communicator* comm) {
  std::optional<OwnStream> stream;
  if (comm->device() >= 0 && loaded.config.runtime().cuda_graph()) stream.emplace(comm->device());
  FT_ASSIGN_OR_RETURN(std::unique_ptr<StartedRun> run, StartRun(loaded, options, comm));
  return Trainer(loaded.config, options, std::move(run)).Run();
}

}  // namespace finetune
