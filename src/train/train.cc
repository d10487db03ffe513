#include "src/train/train.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/checkpoint/reader.h"
#include "src/checkpoint/store.h"
#include "src/checkpoint/writer.h"
#include "src/comm/agreement.h"
#include "src/comm/gradient_buckets.h"
#include "src/config/validate.h"
#include "src/model/load.h"
#include "src/model/loss.h"
#include "src/observe/record.h"
#include "src/observe/run_log.h"
#include "src/optim/schedule.h"
#include "src/optim/sgd.h"
#include "src/train/running_statistics.h"
#include "src/train/setup.h"
#include "src/train/snapshot.h"
#include "src/train/stop_signal.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

int64_t PeakMemoryMebibytes() {
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

// One run: the parts and the loop over them.
class Trainer {
 public:
  Trainer(const LoadedConfig& loaded, const TrainOptions& options, Communicator* comm)
      : loaded_(loaded), config_(loaded.config), options_(options), comm_(*comm) {}

  absl::StatusOr<TrainResult> Run() {
    FT_ASSIGN_OR_RETURN(setup_, Prepare(loaded_, /*for_training=*/true, &comm_));
    FT_RETURN_IF_ERROR(Agree(PrepareWorkDir(), comm_));
    FT_RETURN_IF_ERROR(BuildOptimizer());
    FT_RETURN_IF_ERROR(Agree(OpenLog(), comm_));
    FT_RETURN_IF_ERROR(Agree(Resume(), comm_));
    // One start for all, whatever each has read.
    for (const NamedTensor& tensor : setup_.model->State()) {
      FT_RETURN_IF_ERROR(comm_.Broadcast(tensor.tensor, 0));
    }
    FT_RETURN_IF_ERROR(comm_.Broadcast(sgd_->momentum(), 0));
    setup_.model->ParametersChanged(/*all=*/true);

    absl::StatusOr<TrainResult> result = Loop();
    if (!result.ok()) {
      log_->Error(std::string(result.status().message()));
      comm_.Abort(result.status().message());
    }
    return result;
  }

 private:
  bool IsMain() const { return comm_.rank() == 0; }

  absl::Status PrepareWorkDir() {
    if (!IsMain()) return absl::OkStatus();
    std::error_code error;
    fs::create_directories(options_.work_dir, error);
    if (error) {
      return absl::PermissionDeniedError(
          absl::StrCat("cannot create the work_dir ", options_.work_dir, ": ", error.message()));
    }
    if (options_.resume.empty() && HasCheckpoints()) {
      if (!options_.overwrite) {
        return absl::AlreadyExistsError(absl::StrCat(
            options_.work_dir,
            " holds the checkpoints of an earlier run. Go on with it: --resume=auto. Begin "
            "again in its place: --overwrite. Or choose another --work_dir"));
      }
      RemoveCheckpoints();
    }
    FT_ASSIGN_OR_RETURN(
        CheckpointStore store,
        CheckpointStore::Open(options_.work_dir, config_.runtime().checkpoint().keep_last()));
    store_ = std::make_unique<CheckpointStore>(std::move(store));
    return absl::OkStatus();
  }

  bool HasCheckpoints() const {
    std::error_code error;
    return fs::is_symlink(fs::path(options_.work_dir) / "latest.pth", error);
  }

  // All of an earlier run's, for one that begins again.
  void RemoveCheckpoints() const {
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(options_.work_dir, error)) {
      if (entry.path().extension() == ".pth") fs::remove(entry.path(), error);
    }
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
      if (config_.model().backbone().norm_eval()) break;
      if (layers.contains(buffer.name.substr(0, buffer.name.rfind('.'))))
        changing.push_back(buffer);
    }
    FT_ASSIGN_OR_RETURN(buckets_, GradientBuckets::Create(trained, config_.comm(), &comm_));
    FT_ASSIGN_OR_RETURN(statistics_, RunningStatistics::Create(changing, &comm_));
    std::vector<ParameterSpan> spans;
    for (const auto& entry : buckets_->entries())
      spans.push_back({entry.name, entry.offset, entry.count});
    FT_ASSIGN_OR_RETURN(Sgd sgd,
                        Sgd::Create(config_.optimizer(), std::move(spans), buckets_->values()));
    sgd_ = std::make_unique<Sgd>(std::move(sgd));

    per_epoch_ = setup_.train->sampler().iterations_per_epoch();
    total_batch_ = setup_.train->sampler().total_batch;
    const double lr =
        ScaledLearningRate(config_.schedule(), config_.optimizer().sgd().lr(), total_batch_);
    FT_ASSIGN_OR_RETURN(LearningRateSchedule schedule,
                        LearningRateSchedule::Create(config_.schedule(), lr, per_epoch_));
    schedule_ = std::make_unique<LearningRateSchedule>(std::move(schedule));
    last_iteration_ = schedule_->total_iterations();
    if (options_.max_iterations > 0) {
      last_iteration_ = std::min(last_iteration_, options_.max_iterations);
    }
    const DatasetManifest& manifest = setup_.train->manifest();
    meta_.config_text = PrintConfig(loaded_, /*with_origins=*/false);
    meta_.seed = config_.runtime().seed();
    meta_.iterations_per_epoch = per_epoch_;
    meta_.total_batch = total_batch_;
    meta_.class_names.assign(manifest.class_name().begin(), manifest.class_name().end());
    return absl::OkStatus();
  }

  absl::Status OpenLog() {
    RunLogOptions log;
    log.work_dir = options_.work_dir;
    log.rank = comm_.rank();
    log.tensorboard = config_.runtime().tensorboard();
    log.host = comm_.host(comm_.rank());
    FT_ASSIGN_OR_RETURN(log_, RunLog::Open(log));
    if (!IsMain()) return absl::OkStatus();
    FT_RETURN_IF_ERROR(WriteFileAtomically(options_.work_dir + "/config.pbtxt",
                                           PrintConfig(loaded_, /*with_origins=*/true)));
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
    return absl::OkStatus();
  }

  // Rank 0 reads the checkpoint; the others get all of it from rank 0.
  absl::Status Resume() {
    std::string path = options_.resume;
    if (path.empty() || !IsMain()) return absl::OkStatus();
    Value root;
    if (path == "auto") {
      if (!HasCheckpoints()) {
        log_->Info("no checkpoint to resume from; starting from the beginning");
        return absl::OkStatus();
      }
      FT_ASSIGN_OR_RETURN(FoundCheckpoint found, FindLatestCheckpoint(options_.work_dir));
      for (const std::string& damaged : found.skipped)
        log_->Warning(absl::StrCat("passed over: ", damaged));
      path = found.path;
      root = std::move(found.root);
    } else {
      FT_ASSIGN_OR_RETURN(root, ReadTorchFile(path));
    }
    absl::StatusOr<Progress> progress =
        RestoreCheckpoint(root, meta_, setup_.model.get(), sgd_.get());
    FT_RETURN_IF_ERROR(Annotate(progress.status(), absl::StrCat("cannot resume from ", path)));
    progress_ = *progress;
    log_->Info(absl::StrFormat("resumed from %s at iteration %d", path, progress_.iteration));
    return absl::OkStatus();
  }

  void RecordRun() {
    RunRecord record;
    record.name = config_.name();
    record.host = comm_.host(comm_.rank());
    record.ranks = comm_.size();
    record.iteration = progress_.iteration;
    record.began_unix_s = static_cast<double>(absl::ToUnixMillis(absl::Now())) / 1000;
    record.class_names = meta_.class_names;
    log_->Run(record);
  }

  absl::StatusOr<TrainResult> Loop() {
    const StopSignal signals;
    RecordRun();
    const ScheduleConfig& schedule = config_.schedule();
    TrainResult result;
    double at_iteration[1] = {static_cast<double>(progress_.iteration)};
    if (!IsMain()) at_iteration[0] = 0;
    FT_RETURN_IF_ERROR(comm_.AllReduceSum(absl::MakeSpan(at_iteration)));
    progress_.iteration = static_cast<int64_t>(at_iteration[0]);
    setup_.train->Seek(progress_.iteration / per_epoch_, progress_.iteration % per_epoch_);

    while (progress_.iteration < last_iteration_) {
      FT_ASSIGN_OR_RETURN(const bool stop, Step(signals.received() != 0));
      const int64_t done = progress_.iteration;
      const bool epoch_ends = done % per_epoch_ == 0;
      const int64_t epoch = done / per_epoch_;
      const bool run_ends = done == last_iteration_;

      bool validate = epoch_ends && schedule.val_interval_epochs() > 0 &&
                      (epoch % schedule.val_interval_epochs() == 0);
      if (schedule.has_val_interval_iterations()) {
        validate = done % schedule.val_interval_iterations() == 0;
      }
      validate =
          (validate || (run_ends && schedule.val_interval_epochs() > 0)) && setup_.val != nullptr;
      bool is_best = false;
      if (validate && !stop) {
        FT_ASSIGN_OR_RETURN(result.last, Validate());
        const double accuracy = result.last->topk.front().accuracy;
        is_best = accuracy > progress_.best_accuracy;
        if (is_best) {
          progress_.best_accuracy = accuracy;
          progress_.best_iteration = done;
        }
      }
      const CheckpointConfig& checkpoint = config_.runtime().checkpoint();
      const bool due =
          (epoch_ends && checkpoint.interval_epochs() > 0 &&
           epoch % checkpoint.interval_epochs() == 0) ||
          (checkpoint.interval_iterations() > 0 && done % checkpoint.interval_iterations() == 0);
      if (due || run_ends || stop || (is_best && checkpoint.save_best())) {
        FT_RETURN_IF_ERROR(Save(epoch_ends, is_best && checkpoint.save_best()));
      }
      if (stop && !run_ends) {
        log_->Info(absl::StrFormat(
            "stopped by a signal after iteration %d; go on with --resume=auto", done));
        result.stopped = true;
        break;
      }
    }
    FT_RETURN_IF_ERROR(FinishSaving());
    FT_RETURN_IF_ERROR(comm_.Barrier());
    result.iterations = progress_.iteration;
    FT_RETURN_IF_ERROR(log_->Close());
    return result;
  }

  // One iteration: batch, forward, backward with the all-reduce behind it, update. Returns whether
  // any rank was asked to stop.
  absl::StatusOr<bool> Step(bool asked_to_stop) {
    const Clock::time_point start = Clock::now();
    comm_.SetActivity(absl::StrCat("iteration ", progress_.iteration, ": waiting for data"));
    FT_ASSIGN_OR_RETURN(Batch batch, setup_.train->Next());
    const double data_seconds = Since(start);

    comm_.SetActivity(absl::StrCat("iteration ", progress_.iteration, ": computing"));
    const int64_t n = batch.labels.size(0);
    int64_t micro = config_.data().train().micro_batch_size();
    if (micro <= 0) micro = std::max<int64_t>(n, 1);
    buckets_->Zero();
    double loss_sum = 0;
    for (int64_t begin = 0; begin < n; begin += micro) {
      const int64_t count = std::min(micro, n - begin);
      buckets_->BeginBackward(/*communicate=*/begin + count == n);
      const at::Tensor images = batch.images.narrow(0, begin, count).to(setup_.device);
      const at::Tensor labels = batch.labels.narrow(0, begin, count).to(setup_.device);
      const at::Tensor logits = setup_.model->Forward(images, /*training=*/true);
      const at::Tensor loss =
          CrossEntropySum(logits, labels, config_.model().head().label_smoothing());
      // The mean over the global batch: every picture weighs the same, however the ranks share
      // them.
      loss.div(static_cast<double>(batch.global_size)).backward();
      loss_sum += loss.item<double>();
    }
    statistics_->Start();
    if (n == 0) buckets_->BeginBackward(/*communicate=*/true);
    FT_RETURN_IF_ERROR(buckets_->Finish());
    FT_RETURN_IF_ERROR(statistics_->Finish());

    double scale = 1;
    double norm = -1;
    if (config_.optimizer().has_clip_gradient()) {
      norm = GradientNorm(buckets_->gradients());
      scale = std::min(1.0, config_.optimizer().clip_gradient().max_norm() / (norm + 1e-6));
    }
    const double lr = schedule_->At(progress_.iteration);
    sgd_->Step(buckets_->gradients(), lr, scale);
    ++progress_.iteration;

    double shared[2] = {loss_sum / static_cast<double>(batch.global_size),
                        asked_to_stop ? 1.0 : 0.0};
    FT_RETURN_IF_ERROR(comm_.AllReduceSum(absl::MakeSpan(shared)));
    if (!std::isfinite(shared[0])) {
      return absl::FailedPreconditionError(
          absl::StrFormat("the loss is %g in iteration %d: the run has diverged. Try a smaller "
                          "optimizer.sgd.lr (it is %g), a "
                          "schedule.warmup or an optimizer.clip_gradient",
                          shared[0], progress_.iteration, lr));
    }
    Record(shared[0], lr, norm, Since(start), data_seconds, batch.global_size);
    return shared[1] > 0;
  }

  void Record(double loss, double lr, double norm, double seconds, double data_seconds,
              int64_t pictures) {
    window_.loss += loss;
    window_.seconds += seconds;
    window_.data_seconds += data_seconds;
    window_.pictures += pictures;
    ++window_.iterations;
    const int interval = config_.runtime().log_interval();
    const bool due = progress_.iteration % interval == 0 ||
                     progress_.iteration == last_iteration_ ||
                     progress_.iteration % per_epoch_ == 0;
    if (!IsMain()) return;
    const double each = 1.0 / window_.iterations;
    IterationRecord record;
    record.epoch = (progress_.iteration - 1) / per_epoch_ + 1;
    record.iteration = progress_.iteration;
    record.iterations_per_epoch = per_epoch_;
    record.total_iterations = last_iteration_;
    record.averaged = window_.iterations;
    record.loss = window_.loss * each;
    record.lr = lr;
    record.time_s = window_.seconds * each;
    record.data_time_s = window_.data_seconds * each;
    record.eta_s = record.time_s * static_cast<double>(last_iteration_ - progress_.iteration);
    record.images_per_s = static_cast<double>(window_.pictures) / window_.seconds;
    record.memory_mib = PeakMemoryMebibytes();
    if (norm >= 0) record.gradient_norm = norm;
    if (due) {
      log_->Iteration(record);
      window_ = {};
    } else {
      log_->Progress(record);
    }
  }

  absl::StatusOr<Evaluation> Validate() {
    comm_.SetActivity(absl::StrCat("validation after iteration ", progress_.iteration));
    setup_.model->ParametersChanged(/*all=*/false);
    FT_ASSIGN_OR_RETURN(Evaluation evaluation,
                        Evaluate(config_.model().head(), setup_.device, setup_.model.get(),
                                 setup_.val.get(), &comm_));
    setup_.model->ParametersChanged(/*all=*/false);
    if (IsMain()) {
      EvaluationRecord record;
      record.epoch = progress_.iteration / per_epoch_;
      record.iteration = progress_.iteration;
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

  // Copies what is to be saved and writes it behind the next iterations.
  absl::Status Save(bool epoch_ends, bool is_best) {
    if (!IsMain()) return absl::OkStatus();
    FT_RETURN_IF_ERROR(FinishSaving());
    Value copy = snapshotter_.Take(MakeCheckpoint(*setup_.model, sgd_.get(), progress_, meta_));
    const std::string name = epoch_ends
                                 ? absl::StrCat("epoch_", progress_.iteration / per_epoch_, ".pth")
                                 : absl::StrCat("iter_", progress_.iteration, ".pth");
    saving_ = std::async(std::launch::async, [this, copy = std::move(copy), name, is_best] {
      return store_->Save(name, copy, is_best);
    });
    return absl::OkStatus();
  }

  absl::Status FinishSaving() {
    if (!saving_.valid()) return absl::OkStatus();
    return Annotate(saving_.get(), "cannot write a checkpoint");
  }

  struct Window {
    double loss = 0, seconds = 0, data_seconds = 0;
    int64_t pictures = 0;
    int iterations = 0;
  };

  const LoadedConfig& loaded_;
  const ExperimentConfig& config_;
  const TrainOptions& options_;
  Communicator& comm_;
  Setup setup_;
  std::unique_ptr<GradientBuckets> buckets_;
  std::unique_ptr<RunningStatistics> statistics_;
  std::unique_ptr<Sgd> sgd_;
  std::unique_ptr<LearningRateSchedule> schedule_;
  std::unique_ptr<RunLog> log_;
  std::unique_ptr<CheckpointStore> store_;
  Snapshotter snapshotter_;
  CheckpointMeta meta_;
  Progress progress_;
  Window window_;
  int64_t per_epoch_ = 1, total_batch_ = 1, last_iteration_ = 0;
  // Last, so that it has ended before what it uses goes.
  std::future<absl::Status> saving_;
};

}  // namespace

absl::StatusOr<TrainResult> Train(const LoadedConfig& loaded, const TrainOptions& options,
                                  Communicator* comm) {
  return Trainer(loaded, options, comm).Run();
}

absl::StatusOr<Evaluation> EvaluateCheckpoint(const LoadedConfig& loaded,
                                              const std::string& checkpoint, Communicator* comm) {
  FT_ASSIGN_OR_RETURN(Setup setup, Prepare(loaded, /*for_training=*/false, comm));
  if (setup.val == nullptr)
    return absl::InvalidArgumentError("data.val: is not set; there is nothing to evaluate on");
  absl::StatusOr<TensorList> tensors = ReadStateDict(checkpoint);
  absl::Status status = tensors.status();
  if (status.ok())
    status = Annotate(LoadClassifier(*tensors, setup.model.get()).status(), checkpoint);
  FT_RETURN_IF_ERROR(Agree(status, *comm));
  return Evaluate(loaded.config.model().head(), setup.device, setup.model.get(), setup.val.get(),
                  comm);
}

}  // namespace finetune
