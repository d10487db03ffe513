#include "src/plan/measure.h"

#include <ATen/Parallel.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "src/base/annotate.h"
#include "src/base/median.h"
#include "src/base/processor.h"
#include "src/comm/single_communicator.h"
#include "src/comm/wire.h"
#include "src/data/batch.h"
#include "src/model/classifier.h"
#include "src/train/timed_step.h"
#include "src/train/training_step.h"

namespace finetune {
namespace {

// Returns whether ranks on processors like this one would compute in bfloat16.
bool UsesBfloat16(const RuntimeConfig& runtime) {
  return runtime.precision() == RuntimeConfig::BFLOAT16 ||
         (runtime.precision() == RuntimeConfig::FASTEST && ThisProcessor().avx512_bfloat16);
}

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Imitates one of two ranks for GradientBuckets. It records the time at which each all-reduce
// starts; the all-reduce itself does nothing.
class Listener : public SingleCommunicator {
 public:
  Listener() { world_.size = 2; }

  using Communicator::AllReduceSum;
  const World& world() const override { return world_; }
  absl::StatusOr<std::unique_ptr<Work>> AllReduceSum(const at::Tensor& tensor, Wire wire) override {
    ready_s_.push_back(Since(start_));
    return SingleCommunicator::AllReduceSum(tensor, wire);
  }

  void BeginBackward() {
    start_ = Clock::now();
    ready_s_.clear();
  }
  const std::vector<double>& ready_s() const { return ready_s_; }

 private:
  World world_;
  Clock::time_point start_;
  std::vector<double> ready_s_;
};

// If the rank's CPU time is less than this share of the elapsed time, another program was using its
// core.
constexpr double kUndisturbed = 0.8;

// Returns the speed, in bytes per second of one array, at which a rank adds received data to its
// own.
double SumBytesPerSecond() {
  constexpr int64_t kElements = int64_t{1} << 20;
  const std::vector<float> in(kElements, 1.f);
  std::vector<float> sum(kElements, 0.f);
  std::vector<double> times;
  for (int i = 0; i < 9; ++i) {
    const Clock::time_point start = Clock::now();
    Accumulate(in.data(), kElements, sum.data());
    times.push_back(Since(start));
  }
  return kElements * sizeof(float) / Median(times);
}

double CpuSeconds() {
  struct timespec time = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double PeakMemoryBytes() {
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

// Returns the config of the measured step. Every parameter gets a bucket of its own, so that the
// arrival of each gradient is seen, and every batch is one pass.
ExperimentConfig MeasuredConfig(const ExperimentConfig& config) {
  ExperimentConfig measured = config;
  measured.mutable_comm()->set_bucket_mebibytes(0);
  measured.mutable_comm()->set_first_bucket_mebibytes(0);
  measured.mutable_data()->mutable_train()->clear_micro_batch_size();
  return measured;
}

// A training step and a stopwatch for its phases.
class Step {
 public:
  static absl::StatusOr<std::unique_ptr<Step>> Create(const ExperimentConfig& config) {
    std::unique_ptr<Step> step(new Step(config));
    ClassifierOptions options;
    options.mode.bfloat16 = UsesBfloat16(config.runtime());
    options.mode.fused = config.runtime().engine() == RuntimeConfig::FUSED;
    FT_ASSIGN_OR_RETURN(step->model_, Classifier::Create(step->config_.model(), options));
    FT_ASSIGN_OR_RETURN(step->step_, TrainingStep::Create(step->config_, at::kCPU,
                                                          step->model_.get(), &step->listener_));
    step->model_->ParametersChanged(/*all=*/true);
    return step;
  }

  // Checks that the model can be trained on images of this shape in passes of these sizes.
  absl::Status CheckInput(const MeasureOptions& options) const {
    const PreparedShape& shape = options.shape;
    FT_RETURN_IF_ERROR(Annotate(model_->CheckInput(shape.channels, shape.height, shape.width),
                                "data.train.pipeline"));
    if (options.batches.front() > 1 ||
        model_->LeastBatchNormValues(shape.height, shape.width) != 1) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrFormat(
        "data.train: found passes of one image; the network's last maps of %dx%d images are "
        "1x1, and batch norm needs two values a channel. Plan fewer ranks, or give each rank a "
        "larger batch or micro_batch_size",
        shape.height, shape.width));
  }
  int64_t statistics() const { return step_->averaged_statistics(); }
  const std::vector<ParameterSpan>& parameters() const { return step_->parameters(); }

  // The times of the iterations in seconds, one element per iteration. An element of `ready` has
  // one time per gradient.
  struct Times {
    std::vector<double> forward, backward, optimizer;
    std::vector<std::vector<double>> ready;
  };
  // Runs one iteration and appends its times.
  absl::Status Run(const Batch& batch, Times* times) {
    PhaseTimer timer;
    const auto on_phase = [&](absl::string_view phase) {
      timer.Begin(phase);
      if (phase == "backward") listener_.BeginBackward();
    };
    // The learning rate is 0, because training on noise could make the weights diverge.
    FT_RETURN_IF_ERROR(step_
                           ->Run(
                               batch, [](const Batch& given) { return given.images; },
                               /*whole=*/true, /*lr=*/0, /*iteration=*/0, on_phase)
                           .status());
    timer.End();
    times->forward.push_back(timer.Seconds("forward"));
    times->backward.push_back(timer.Seconds("backward"));
    times->optimizer.push_back(timer.Seconds("update"));
    // The last gradients are recorded shortly after backward ends, so their times are limited to
    // its end.
    std::vector<double> ready = listener_.ready_s();
    for (double& time : ready) time = std::min(time, times->backward.back());
    times->ready.push_back(std::move(ready));
    return absl::OkStatus();
  }

 private:
  explicit Step(const ExperimentConfig& config) : config_(MeasuredConfig(config)) {}

  const ExperimentConfig config_;
  Listener listener_;
  std::unique_ptr<Classifier> model_;
  std::unique_ptr<TrainingStep> step_;
};

}  // namespace

absl::StatusOr<Profile> MeasureStep(const ExperimentConfig& config, const MeasureOptions& options) {
  at::set_num_threads(options.threads);
  FT_ASSIGN_OR_RETURN(std::unique_ptr<Step> step, Step::Create(config));
  if (!options.batches.empty()) FT_RETURN_IF_ERROR(step->CheckInput(options));
  Profile profile;
  profile.source = absl::StrFormat("%d iterations on this machine, %d thread%s", options.iterations,
                                   options.threads, options.threads == 1 ? "" : "s");
  for (const ParameterSpan& entry : step->parameters()) profile.parameters.push_back(entry.count);
  profile.statistics = step->statistics();
  profile.sum_bytes_per_second = SumBytesPerSecond();

  double wall_s = 0;
  double cpu_s = 0;
  for (const int64_t batch : options.batches) {
    const Batch images = RandomBatch({.count = batch,
                                      .channels = options.shape.channels,
                                      .height = options.shape.height,
                                      .width = options.shape.width,
                                      .classes = config.model().head().num_classes(),
                                      .bfloat16 = UsesBfloat16(config.runtime())},
                                     /*ranks=*/1);
    Step::Times unmeasured;
    FT_RETURN_IF_ERROR(step->Run(images, &unmeasured));
    Step::Times times;
    const Clock::time_point start = Clock::now();
    const double cpu_start = CpuSeconds();
    for (int i = 0; i < options.iterations; ++i) {
      FT_RETURN_IF_ERROR(step->Run(images, &times));
    }
    wall_s += Since(start);
    cpu_s += CpuSeconds() - cpu_start;
    PassTimes pass;
    pass.batch = batch;
    pass.forward_s = Median(times.forward);
    pass.backward_s = Median(times.backward);
    pass.memory_bytes = PeakMemoryBytes();
    for (size_t i = 0; i < profile.parameters.size(); ++i) {
      std::vector<double> of_parameter;
      for (const std::vector<double>& ready : times.ready) of_parameter.push_back(ready[i]);
      pass.ready_s.push_back(std::min(Median(of_parameter), pass.backward_s));
    }
    profile.passes.push_back(std::move(pass));
    profile.optimizer_s = Median(times.optimizer);
  }
  // Only a rank with one thread is always busy. With more threads some would idle even on a free
  // machine, so the CPU time would not show whether another program was running.
  if (options.threads == 1 && cpu_s < kUndisturbed * wall_s) {
    absl::StrAppendFormat(&profile.source,
                          " (it had %.0f %% of its core: the machine was busy, and the times are "
                          "too long)",
                          100 * cpu_s / wall_s);
  }
  return profile;
}

}  // namespace finetune
