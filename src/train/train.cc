#include "src/train/train.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "src/base/annotate.h"
#include "src/base/own_file.h"
#include "src/comm/agreement.h"
#include "src/comm/gradient_buckets.h"
#include "src/comm/replay_communicator.h"
#include "src/data/micro_batches.h"
#include "src/host/launcher_process.h"
#include "src/model/loss.h"
#include "src/observe/event_file.h"
#include "src/observe/record.h"
#include "src/observe/report.h"
#include "src/observe/run_log.h"
#include "src/observe/trace.h"
#include "src/optim/gradient_norm.h"
#include "src/optim/optimizer.h"
#include "src/optim/schedule.h"
#include "src/tensor/finite.h"
#include "src/train/checkpoint_keeper.h"
#include "src/train/device.h"
#include "src/train/running_statistics.h"
#include "src/train/setup.h"
#include "src/train/snapshot.h"
#include "src/train/step_graph.h"
#include "src/train/stop_signal.h"
#include "src/train/torch_error.h"

namespace finetune {
namespace {

using Clock = std::chrono::steady_clock;

// The first line of WORK_DIR/config.pbtxt.
constexpr char kConfigMark[] =
    "# Written by finetune: the config of the run in this folder, with the place of each value.";

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// One run: the parts and the loop over them.
class Trainer {
 public:
  Trainer(const LoadedConfig& loaded, const TrainOptions& options, Communicator* comm)
      : loaded_(loaded),
        config_(loaded.config),
        options_(options),
        comm_(*comm),
        replayed_comm_(comm),
        track_(options.trace == nullptr ? nullptr : options.trace->AddTrack("step", "iteration")) {}
  ~Trainer() { comm_.SetWarn(nullptr); }

  absl::StatusOr<TrainResult> Run() {
    const bool resumes = CheckpointKeeper::WillFind(options_.work_dir, options_.resume);
    FT_ASSIGN_OR_RETURN(setup_,
                        Prepare(loaded_, /*evaluated=*/nullptr, resumes, options_.trace, &comm_));
    FT_RETURN_IF_ERROR(BuildOptimizer());
    // Nothing is written before everything that can refuse the run has been looked at.
    FT_RETURN_IF_ERROR(Agree(Restore(), comm_));
    FT_RETURN_IF_ERROR(Agree(OpenWorkDir(), comm_));
    FT_RETURN_IF_ERROR(Agree(OpenLog(), comm_));
    if (absl::Status started = TakeStateOfMain(); !started.ok()) {
      if (IsMain()) log_->Error(std::string(started.message()));
      return started;
    }

    absl::StatusOr<TrainResult> result = CatchTorch([this] { return Loop(); });
    if (!result.ok()) {
      if (IsMain()) log_->Error(std::string(result.status().message()));
      // A checkpoint that is being written holds the work that the failure would cost.
      if (IsMain()) keeper_->Finish().IgnoreError();
      // The others would wait for this rank.
      if (!IsAgreed(result.status())) comm_.Abort(result.status().message());
    }
    return result;
  }

 private:
  bool IsMain() const { return comm_.rank() == 0; }

  std::string ConfigPath() const { return options_.work_dir + "/config.pbtxt"; }

  // The text files that the run replaces, each with the first line that says it is finetune's.
  std::vector<std::pair<std::string, const char*>> ReplacedTexts() const {
    return {{ConfigPath(), kConfigMark}, {options_.work_dir + "/report.html", kReportFirstLine}};
  }

  // Whether the run goes on from a checkpoint of its own work_dir.
  bool ResumesInPlace() const {
    if (!resumed_from_.has_value()) return false;
    std::error_code error;
    return std::filesystem::equivalent(std::filesystem::absolute(resumed_from_->path).parent_path(),
                                       options_.work_dir, error);
  }

  // Rank 0 reads the checkpoint that --resume names; the others get all of it from rank 0.
  absl::Status Restore() {
    if (!IsMain()) return absl::OkStatus();
    FT_ASSIGN_OR_RETURN(resumed_from_, CheckpointKeeper::Find(options_.work_dir, options_.resume));
    if (!resumed_from_.has_value()) return absl::OkStatus();
    absl::StatusOr<Restored> restored =
        RestoreCheckpoint(std::exchange(resumed_from_->root, Value()), meta_, options_.other_data,
                          setup_.model.get(), optimizer_.get());
    FT_RETURN_IF_ERROR(
        Annotate(restored.status(), absl::StrCat("cannot resume from ", resumed_from_->path)));
    progress_ = restored->progress;
    restored_warnings_ = std::move(restored->warnings);
    return absl::OkStatus();
  }

  absl::Status OpenWorkDir() {
    if (!IsMain()) return absl::OkStatus();
    // finetune 0.0 wrote texts without a first line of its own. A folder with checkpoints of
    // finetune has such texts from it; elsewhere they are somebody else's.
    const bool in_place = ResumesInPlace();
    for (const auto& [path, first_line] : ReplacedTexts()) {
      if (!in_place) FT_RETURN_IF_ERROR(CheckOwnText(path, first_line));
    }
    FT_ASSIGN_OR_RETURN(keeper_, CheckpointKeeper::Open(
                                     options_.work_dir, config_.runtime().checkpoint().keep_last(),
                                     !options_.resume.empty() ? CheckpointKeeper::Earlier::kKeep
                                     : options_.overwrite     ? CheckpointKeeper::Earlier::kRemove
                                                              : CheckpointKeeper::Earlier::kRefuse,
                                     options_.trace));
    // TensorBoard would draw the old run's curves together with this run's.
    if (options_.overwrite) FT_RETURN_IF_ERROR(RemoveEventFiles(options_.work_dir));
    for (const auto& [path, first_line] : ReplacedTexts()) {
      FT_ASSIGN_OR_RETURN(const bool moved, SetAside(path, first_line));
      if (moved) {
        restored_warnings_.push_back(absl::StrCat(
            path, " does not say that finetune wrote it, and is kept as ", path, ".bak"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status BuildOptimizer() {
    TensorList trained;
    std::set<std::string> layers;
    for (const NamedTensor& parameter : setup_.model->parameters()) {
      if (!parameter.tensor.requires_grad()) continue;
      trained.push_back(parameter);
      layers.insert(parameter.name.substr(0, parameter.name.rfind('.')));
    }
    // Statistics that training changes; the frozen ones must keep their bits.
    TensorList changing;
    for (const NamedTensor& buffer : setup_.model->buffers()) {
      // With norm_eval nothing changes them; synchronised, they are the same on every rank.
      if (config_.model().backbone().norm_eval() || SyncsBatchNorm()) break;
      if (layers.contains(buffer.name.substr(0, buffer.name.rfind('.')))) {
        changing.push_back(buffer);
      }
    }
    if (config_.runtime().cuda_graph() && StepGraph::RunsOn(setup_.device)) {
      graph_.emplace(setup_.device, &replayed_comm_);
    }
    FT_ASSIGN_OR_RETURN(buckets_,
                        GradientBuckets::Create(trained, config_.comm(), &replayed_comm_));
    FT_ASSIGN_OR_RETURN(statistics_, RunningStatistics::Create(changing, &replayed_comm_));
    FT_ASSIGN_OR_RETURN(
        optimizer_, CreateOptimizer(config_.optimizer(), buckets_->entries(), buckets_->values()));

    per_epoch_ = setup_.train->sampler().iterations_per_epoch();
    total_batch_ = setup_.train->sampler().total_batch;
    const double lr = ScaledLearningRate(
        config_.schedule(), FindLearningRate(config_.optimizer()).value.value_or(0), total_batch_);
    FT_ASSIGN_OR_RETURN(LearningRateSchedule schedule,
                        LearningRateSchedule::Create(config_.schedule(), lr, per_epoch_));
    schedule_ = std::make_unique<LearningRateSchedule>(std::move(schedule));
    last_iteration_ = schedule_->total_iterations();
    if (options_.max_iterations > 0) {
      last_iteration_ = std::min(last_iteration_, options_.max_iterations);
    }
    meta_.config_text = PrintConfig(loaded_, /*with_origins=*/false);
    meta_.seed = config_.runtime().seed();
    meta_.iterations_per_epoch = per_epoch_;
    meta_.total_batch = total_batch_;
    meta_.data = setup_.data;
    return absl::OkStatus();
  }

  absl::Status OpenLog() {
    RunLogOptions log;
    log.work_dir = options_.work_dir;
    log.rank = comm_.rank();
    log.tensorboard = config_.runtime().tensorboard();
    log.host = comm_.host(comm_.rank());
    FT_ASSIGN_OR_RETURN(log_, RunLog::Open(log));
    comm_.SetWarn([this](absl::string_view text) { log_->Warning(std::string(text)); });
    if (comm_.local_rank() == 0) {
      for (const std::string& warning : setup_.host_warnings) log_->Warning(warning);
    }
    if (!IsMain()) return absl::OkStatus();
    FT_RETURN_IF_ERROR(
        WriteOwnText(ConfigPath(), kConfigMark, PrintConfig(loaded_, /*with_origins=*/true)));
    log_->Info(absl::StrCat("config ", loaded_.file, ", work_dir ", options_.work_dir));
    for (const std::string& note : setup_.notes) log_->Info(note);
    for (const std::string& warning : setup_.warnings) log_->Warning(warning);
    int64_t all = 0;
    for (const NamedTensor& parameter : setup_.model->parameters()) all += parameter.tensor.numel();
    int64_t trained = 0;
    for (const auto& entry : buckets_->entries()) trained += entry.count;
    log_->Info(
        absl::StrFormat("%d pictures an iteration, %d iterations an epoch, %d in all; %.2f of %.2f "
                        "million parameters are trained",
                        total_batch_, per_epoch_, last_iteration_,
                        static_cast<double>(trained) / 1e6, static_cast<double>(all) / 1e6));
    TellOfResume();
    return absl::OkStatus();
  }

  // Says, on rank 0, from where the run goes on.
  void TellOfResume() {
    if (options_.resume.empty()) return;
    if (!resumed_from_.has_value()) {
      log_->Info(absl::StrCat("no checkpoint in ", options_.work_dir,
                              " to resume from; starting from the beginning"));
      return;
    }
    for (const std::string& damaged : resumed_from_->skipped) {
      log_->Warning(absl::StrCat("passed over: ", damaged));
    }
    for (const std::string& warning : restored_warnings_) log_->Warning(warning);
    log_->Info(absl::StrFormat("resumed from %s at iteration %d", resumed_from_->path,
                               progress_.iteration));
    // In another work_dir, or where the run goes back to before its best.
    if (config_.runtime().checkpoint().save_best() && progress_.best_accuracy >= 0 &&
        keeper_->BestIteration() != progress_.best_iteration) {
      log_->Info(
          absl::StrFormat("%s has no best.pth of iteration %d, the best of the resumed run: the "
                          "next validation counts as the best",
                          options_.work_dir, progress_.best_iteration));
      progress_.best_accuracy = Progress().best_accuracy;
      progress_.best_iteration = Progress().best_iteration;
    }
    if (progress_.iteration >= last_iteration_ && !progress_.validation_due) {
      log_->Warning(absl::StrFormat(
          "the run is over: it has all of its %d iterations. A longer one: raise schedule.%s",
          last_iteration_,
          options_.max_iterations > 0 && options_.max_iterations <= progress_.iteration
              ? "max_epochs or max_iterations, or --max_iterations"
          : config_.schedule().has_max_epochs() ? "max_epochs"
                                                : "max_iterations"));
    }
  }

  // One start for all, whatever each has read.
  absl::Status TakeStateOfMain() {
    for (const NamedTensor& tensor : setup_.model->State()) {
      FT_RETURN_IF_ERROR(comm_.Broadcast(tensor.tensor, 0));
    }
    for (const NamedTensor& state : optimizer_->State()) {
      FT_RETURN_IF_ERROR(comm_.Broadcast(state.tensor, 0));
    }
    setup_.model->ParametersChanged(/*all=*/true);
    double progress[4] = {static_cast<double>(progress_.iteration),
                          progress_.validation_due ? 1.0 : 0.0, progress_.best_accuracy,
                          static_cast<double>(progress_.best_iteration)};
    if (!IsMain()) std::fill(std::begin(progress), std::end(progress), 0.0);
    FT_RETURN_IF_ERROR(comm_.AllReduceSum(absl::MakeSpan(progress)));
    progress_.iteration = static_cast<int64_t>(progress[0]);
    progress_.validation_due = progress[1] != 0;
    progress_.best_accuracy = progress[2];
    progress_.best_iteration = static_cast<int64_t>(progress[3]);
    setup_.train->Seek(progress_.iteration / per_epoch_, progress_.iteration % per_epoch_);
    batches_.emplace(setup_.train.get(), setup_.device);
    return absl::OkStatus();
  }

  void RecordRun() {
    RunRecord record;
    record.name = config_.name();
    record.host = comm_.host(comm_.rank());
    record.ranks = comm_.size();
    record.iteration = progress_.iteration;
    record.began_unix_s = static_cast<double>(absl::ToUnixMillis(absl::Now())) / 1000;
    record.class_names = meta_.data.classes;
    log_->Run(record);
  }

  absl::StatusOr<TrainResult> Loop() {
    const std::optional<LauncherProcess> launcher = FindLauncherProcess();
    signals_.emplace(IsMain(), launcher.has_value() && launcher->IsOpenMpis() ? launcher->pid : 0);
    RecordRun();
    TrainResult result;
    if (progress_.validation_due) {
      FT_ASSIGN_OR_RETURN(result.stopped, ValidateAndSave(/*saved=*/false, &result));
      result.stopped = result.stopped && (!RunEnds() || progress_.validation_due);
    }
    while (progress_.iteration < last_iteration_ && !result.stopped) {
      FT_ASSIGN_OR_RETURN(bool stop, Step());
      progress_.validation_due = ValidationIsDue();
      // Before the validation: what goes wrong there loses nothing.
      const bool save = CheckpointIsDue() || stop;
      if (stop) SayThatItSaves();
      if (save) FT_RETURN_IF_ERROR(Save(/*is_best=*/false));
      if (progress_.validation_due && !stop) {
        // A fault of the data, or too little memory, shows in the first one, at every restart.
        if (save && !result.last.has_value()) FT_RETURN_IF_ERROR(AwaitCheckpoint());
        FT_ASSIGN_OR_RETURN(stop, ValidateAndSave(/*saved=*/save, &result));
      }
      result.stopped = stop && (!RunEnds() || progress_.validation_due);
    }
    if (IsMain()) FT_RETURN_IF_ERROR(keeper_->Finish());
    FT_RETURN_IF_ERROR(comm_.Barrier());
    if (result.stopped) {
      log_->Info(absl::StrFormat("stopped by a signal after iteration %d; go on with --resume=auto",
                                 progress_.iteration));
    }
    result.iterations = progress_.iteration;
    FT_RETURN_IF_ERROR(log_->Close());
    return result;
  }

  bool AskedToStop() const { return signals_->received() != 0; }

  absl::StatusOr<bool> AnyoneAskedToStop() {
    double asked[1] = {AskedToStop() ? 1.0 : 0.0};
    FT_RETURN_IF_ERROR(comm_.AllReduceSum(absl::MakeSpan(asked)));
    return asked[0] > 0;
  }

  // Returns, on every rank, when the checkpoint that is being written is whole. A rank that fails
  // ends the process that writes it.
  absl::Status AwaitCheckpoint() {
    comm_.SetActivity(absl::StrCat("writing the checkpoint of iteration ", progress_.iteration));
    if (IsMain()) FT_RETURN_IF_ERROR(keeper_->Finish());
    return comm_.Barrier();
  }

  // Says that the run saves because of a signal that was not answered when it came.
  void SayThatItSaves() {
    if (!IsMain() || signals_->answered()) return;
    log_->Info(absl::StrFormat("asked to stop: saving iteration %d", progress_.iteration));
  }

  // Validates, and saves the outcome where a checkpoint of this iteration is to be kept. `saved`:
  // one without the outcome has been saved. Returns whether any rank was asked to stop.
  absl::StatusOr<bool> ValidateAndSave(bool saved, TrainResult* result) {
    FT_ASSIGN_OR_RETURN(const bool is_best, ValidateForBest(result));
    FT_ASSIGN_OR_RETURN(const bool stop, AnyoneAskedToStop());
    const bool cut_short = progress_.validation_due;
    const bool save = cut_short ? !saved : saved || CheckpointIsDue() || is_best || stop;
    if (stop && save) SayThatItSaves();
    if (save) FT_RETURN_IF_ERROR(Save(is_best));
    return stop;
  }

  // Validates. Returns whether a checkpoint of this iteration is to be kept as the best. A signal
  // ends it early: then it is still due. Errors: FailedPrecondition for a loss that is no number.
  absl::StatusOr<bool> ValidateForBest(TrainResult* result) {
    absl::StatusOr<Evaluation> evaluation = Validate();
    if (absl::IsCancelled(evaluation.status())) return false;
    FT_RETURN_IF_ERROR(evaluation.status());
    result->last = *std::move(evaluation);
    progress_.validation_due = false;
    if (!std::isfinite(result->last->loss)) {
      return Diverged(absl::StrFormat("the validation's loss is %g after iteration %d",
                                      std::abs(result->last->loss), progress_.iteration),
                      schedule_->At(progress_.iteration - 1));
    }
    const double accuracy = result->last->topk.front().accuracy;
    if (accuracy <= progress_.best_accuracy) return false;
    progress_.best_accuracy = accuracy;
    progress_.best_iteration = progress_.iteration;
    return config_.runtime().checkpoint().save_best();
  }

  // From 1; that of the iteration that was done last.
  int64_t CurrentEpoch() const { return (progress_.iteration - 1) / per_epoch_ + 1; }
  bool EpochEnds() const { return progress_.iteration % per_epoch_ == 0; }
  bool RunEnds() const { return progress_.iteration == last_iteration_; }

  bool LogIsDue() const {
    return EpochEnds() || RunEnds() || progress_.iteration % config_.runtime().log_interval() == 0;
  }

  bool ValidationIsDue() const {
    const ScheduleConfig& schedule = config_.schedule();
    const int epochs = schedule.val_interval_epochs();
    if (setup_.val == nullptr) return false;
    if (RunEnds() && epochs > 0) return true;
    if (schedule.has_val_interval_iterations()) {
      return progress_.iteration % schedule.val_interval_iterations() == 0;
    }
    return EpochEnds() && epochs > 0 && progress_.iteration / per_epoch_ % epochs == 0;
  }

  // That of this iteration, if there is one, and those of later ones.
  int64_t ValidationsLeft() const {
    const ScheduleConfig& schedule = config_.schedule();
    const int64_t every = schedule.has_val_interval_iterations()
                              ? schedule.val_interval_iterations()
                              : schedule.val_interval_epochs() * per_epoch_;
    if (setup_.val == nullptr || every == 0) return 0;
    const bool at_end = schedule.val_interval_epochs() > 0 && last_iteration_ % every != 0;
    return last_iteration_ / every - progress_.iteration / every + (at_end && !RunEnds() ? 1 : 0) +
           (ValidationIsDue() ? 1 : 0);
  }

  bool CheckpointIsDue() const {
    const CheckpointConfig& checkpoint = config_.runtime().checkpoint();
    const int64_t epochs = checkpoint.interval_epochs();
    const int64_t iterations = checkpoint.interval_iterations();
    return RunEnds() || warned_ ||
           (EpochEnds() && epochs > 0 && progress_.iteration / per_epoch_ % epochs == 0) ||
           (iterations > 0 && progress_.iteration % iterations == 0);
  }

  bool SyncsBatchNorm() const { return config_.comm().sync_batch_norm() && comm_.size() > 1; }

  // One iteration: batch, forward, backward with the all-reduces behind it, update. Returns whether
  // any rank was asked to stop.
  absl::StatusOr<bool> Step() {
    const Clock::time_point start = Clock::now();
    const TraceSpan iteration(track_, "iteration", progress_.iteration + 1);
    TraceSpan phase(track_, "wait for data");
    comm_.SetActivity(absl::StrCat("iteration ", progress_.iteration, ": waiting for data"));
    FT_ASSIGN_OR_RETURN(const Batch batch, batches_->Next());
    const double data_seconds = Since(start);

    comm_.SetActivity(absl::StrCat("iteration ", progress_.iteration, ": computing"));
    FT_ASSIGN_OR_RETURN(const at::Tensor loss, Compute(batch, &phase));
    phase.Next("wait for gradients");
    FT_RETURN_IF_ERROR(buckets_->Finish());
    FT_RETURN_IF_ERROR(statistics_->Finish());

    phase.Next("update");
    double scale = 1;
    double norm = -1;
    if (config_.optimizer().has_clip_gradient()) {
      norm = GradientNorm(buckets_->gradients());
      scale = std::min(1.0, config_.optimizer().clip_gradient().max_norm() / (norm + 1e-6));
    }
    const double lr = schedule_->At(progress_.iteration);
    optimizer_->Step(buckets_->gradients(), lr, scale, progress_.iteration);
    ++progress_.iteration;

    phase.Next("agree on the loss");
    losses_.push_back({progress_.iteration, lr, LateNumber(loss)});
    // A GPU is given the next iteration before it has done this one; but what is kept of a run has
    // no loss behind it that nobody has looked at.
    const bool late =
        !setup_.device.is_cpu() && !LogIsDue() && !ValidationIsDue() && !CheckpointIsDue();
    FT_ASSIGN_OR_RETURN(const bool stop, ShareLosses(late ? 1 : 0));
    if ((stop || warned_) && late) FT_RETURN_IF_ERROR(ShareLosses(0).status());
    phase.Next("log");
    Record(lr, norm, Since(start), data_seconds, batch.global_size);
    return stop;
  }

  // Adds up the ranks' losses but for the last `left`, their wishes to stop and the warnings of
  // their launchers; returns whether one wishes to stop. Errors: FailedPrecondition for a loss that
  // is not finite.
  absl::StatusOr<bool> ShareLosses(size_t left) {
    constexpr size_t kFlags = 2;
    std::vector<double> sums = {AskedToStop() ? 1.0 : 0.0, signals_->TakeWarning() ? 1.0 : 0.0};
    for (size_t i = 0; i + left < losses_.size(); ++i) sums.push_back(losses_[i].value.Read());
    FT_RETURN_IF_ERROR(comm_.AllReduceSum(absl::MakeSpan(sums)));
    warned_ = warned_ || sums[1] > 0;
    for (size_t i = kFlags; i < sums.size(); ++i) {
      const Loss loss = std::move(losses_.front());
      losses_.pop_front();
      if (!std::isfinite(sums[i])) {
        return Diverged(
            absl::StrFormat("the loss is %g in iteration %d", std::abs(sums[i]), loss.iteration),
            loss.lr);
      }
      window_.loss += sums[i];
      ++window_.losses;
    }
    return sums[0] > 0;
  }

  // An error that all ranks have.
  absl::Status Diverged(const std::string& what, double lr) {
    return MarkAgreed(absl::FailedPreconditionError(
        absl::StrFormat("%s: the run has diverged. Try a smaller %s (it is %g), a schedule.warmup "
                        "or an optimizer.clip_gradient",
                        what, FindLearningRate(config_.optimizer()).field, lr)));
  }

  MicroBatches PassesOf(const Batch& batch) const {
    const int64_t pictures = batch.labels.size(0);
    const int64_t most = config_.data().train().micro_batch_size();
    if (!SyncsBatchNorm()) return MicroBatches::Of(pictures, most);
    const int64_t largest_part = (batch.global_size + comm_.size() - 1) / comm_.size();
    return MicroBatches::InStep(pictures, largest_part, most);
  }

  // As ForwardAndBackward(), which is recorded for all batches but an epoch's last, smaller one.
  absl::StatusOr<at::Tensor> Compute(const Batch& batch, TraceSpan* phase) {
    if (!graph_.has_value() || batch.global_size != total_batch_) {
      return ForwardAndBackward(batch, phase);
    }
    phase->Next("forward and backward");
    return graph_->Run(batch,
                       [&](const Batch& recorded) { return ForwardAndBackward(recorded, phase); });
  }

  // Leaves the gradients in the buckets, their all-reduces under way. Every rank starts those of
  // the statistics before those of the gradients, which start in backward or, where a rank has no
  // picture, at its end. Returns this rank's part of the batch's mean loss, [] on the device.
  at::Tensor ForwardAndBackward(const Batch& batch, TraceSpan* phase) {
    const MicroBatches parts = PassesOf(batch);
    const int64_t passes = parts.passes();
    const float smoothing = config_.model().head().label_smoothing();
    at::Tensor loss_sum = at::zeros({}, at::TensorOptions(at::kDouble).device(setup_.device));
    buckets_->Zero();
    const at::Tensor all_images = batches_->Images(batch);
    for (int64_t pass = 0; pass < passes; ++pass) {
      phase->Next("forward");
      const int64_t begin = parts.Begin(pass);
      const int64_t count = parts.Size(pass);
      const bool last = pass + 1 == passes;
      const at::Tensor images = all_images.narrow(0, begin, count);
      const at::Tensor labels = batch.labels.narrow(0, begin, count);
      const at::Tensor loss =
          CrossEntropySum(setup_.model->Forward(images, /*training=*/true), labels, smoothing);
      phase->Next("backward");
      if (last) statistics_->Start();
      buckets_->BeginBackward(/*communicate=*/last);
      // The mean over the global batch: every picture weighs the same, however the ranks share
      // them.
      loss.div(static_cast<double>(batch.global_size)).backward();
      loss_sum += loss.detach();
    }
    if (passes == 0) {
      statistics_->Start();
      buckets_->BeginBackward(/*communicate=*/true);
    }
    buckets_->EndBackward();
    return loss_sum.div_(static_cast<double>(batch.global_size));
  }

  void Record(double lr, double norm, double seconds, double data_seconds, int64_t pictures) {
    window_.seconds += seconds;
    window_.data_seconds += data_seconds;
    window_.pictures += pictures;
    ++window_.iterations;
    if (!IsMain()) return;
    const double each = 1.0 / window_.iterations;
    IterationRecord record;
    record.epoch = CurrentEpoch();
    record.iteration = progress_.iteration;
    record.iterations_per_epoch = per_epoch_;
    record.total_iterations = last_iteration_;
    record.averaged = window_.iterations;
    record.loss = window_.loss / std::max(window_.losses, 1);
    record.lr = lr;
    record.time_s = window_.seconds * each;
    record.data_time_s = window_.data_seconds * each;
    record.eta_s = record.time_s * static_cast<double>(last_iteration_ - progress_.iteration) +
                   validation_seconds_ * static_cast<double>(ValidationsLeft());
    record.images_per_s = static_cast<double>(window_.pictures) / window_.seconds;
    record.memory_mib = PeakMemoryMebibytes(setup_.device);
    if (norm >= 0) record.gradient_norm = norm;
    if (LogIsDue()) {
      log_->Iteration(record);
      window_ = {};
    } else {
      log_->Progress(record);
    }
  }

  absl::StatusOr<Evaluation> Validate() {
    const TraceSpan span(track_, "validation", progress_.iteration);
    comm_.SetActivity(absl::StrCat("validation after iteration ", progress_.iteration));
    setup_.model->ParametersChanged(/*all=*/false);
    FT_ASSIGN_OR_RETURN(Evaluation evaluation,
                        Evaluate(config_.model().head(), setup_.device, setup_.model.get(),
                                 setup_.val.get(), &comm_, [this](int64_t done, int64_t total) {
                                   if (IsMain()) log_->EvaluationProgress(done, total);
                                   return !AskedToStop();
                                 }));
    setup_.model->ParametersChanged(/*all=*/false);
    validation_seconds_ = evaluation.seconds;
    if (IsMain()) {
      EvaluationRecord record;
      record.epoch = CurrentEpoch();
      record.iteration = progress_.iteration;
      record.iterations_per_epoch = per_epoch_;
      record.loss = evaluation.loss;
      for (const Evaluation::TopK& top : evaluation.topk) {
        record.accuracy[Evaluation::Name(top.k)] = top.accuracy;
      }
      record.seconds = evaluation.seconds;
      record.pictures = evaluation.pictures;
      for (const Evaluation::ClassCount& count : evaluation.classes) {
        record.classes.push_back({count.pictures, count.correct});
      }
      log_->Evaluation(record);
    }
    return evaluation;
  }

  // A run cannot go on from values that are not finite. Every rank has the same values and comes to
  // the same result.
  absl::Status CheckFinite() {
    TensorList state = setup_.model->State();
    for (const NamedTensor& tensor : optimizer_->State()) {
      state.push_back({absl::StrCat("the optimizer's ", tensor.name), tensor.tensor});
    }
    const NamedTensor* bad = FirstNotFinite(state);
    if (bad == nullptr) return absl::OkStatus();
    return Diverged(
        absl::StrFormat("%s is not finite after iteration %d", bad->name, progress_.iteration),
        schedule_->At(progress_.iteration - 1));
  }

  absl::Status Save(bool is_best) {
    warned_ = false;
    FT_RETURN_IF_ERROR(CheckFinite());
    if (!IsMain()) return absl::OkStatus();
    const std::string name = EpochEnds()
                                 ? absl::StrCat("epoch_", progress_.iteration / per_epoch_, ".pth")
                                 : absl::StrCat("iter_", progress_.iteration, ".pth");
    const TraceSpan span(track_, "checkpoint snapshot", progress_.iteration);
    return keeper_->Save(name, MakeCheckpoint(*setup_.model, *optimizer_, progress_, meta_),
                         is_best);
  }

  struct Window {
    double loss = 0, seconds = 0, data_seconds = 0;
    int64_t pictures = 0;
    int iterations = 0, losses = 0;
  };
  // Of an iteration whose loss nobody has looked at yet.
  struct Loss {
    int64_t iteration;
    double lr;
    LateNumber value;
  };

  const LoadedConfig& loaded_;
  const ExperimentConfig& config_;
  const TrainOptions& options_;
  Communicator& comm_;
  // comm_ for what a recorded step sends.
  ReplayCommunicator replayed_comm_;
  TraceTrack* const track_;  // null: nothing is recorded
  Setup setup_;
  std::unique_ptr<GradientBuckets> buckets_;
  std::unique_ptr<RunningStatistics> statistics_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<LearningRateSchedule> schedule_;
  std::unique_ptr<RunLog> log_;
  std::unique_ptr<CheckpointKeeper> keeper_;     // on rank 0
  std::optional<FoundCheckpoint> resumed_from_;  // on rank 0; without its root once it is restored
  std::vector<std::string> restored_warnings_;
  CheckpointMeta meta_;
  Progress progress_;
  std::optional<DeviceBatches> batches_;
  std::optional<StepGraph> graph_;
  std::optional<StopSignal> signals_;
  // A rank's launcher is about to end it, perhaps: a checkpoint is due.
  bool warned_ = false;
  Window window_;
  std::deque<Loss> losses_;
  int64_t per_epoch_ = 1, total_batch_ = 1, last_iteration_ = 0;
  double validation_seconds_ = 0;  // of the last one
};

}  // namespace

absl::StatusOr<TrainResult> Train(const LoadedConfig& loaded, const TrainOptions& options,
                                  Communicator* comm) {
  std::optional<OwnStream> stream;
  if (comm->device() >= 0 && loaded.config.runtime().cuda_graph()) stream.emplace(comm->device());
  return Trainer(loaded, options, comm).Run();
}

}  // namespace finetune
