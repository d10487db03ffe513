#ifndef FINETUNE_TRAIN_TRAINING_STEP_H_
#define FINETUNE_TRAIN_TRAINING_STEP_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/comm/gradient_buckets.h"
#include "src/comm/replay_communicator.h"
#include "src/config/experiment.pb.h"
#include "src/data/batch.h"
#include "src/data/micro_batches.h"
#include "src/model/classifier.h"
#include "src/model/training_loss.h"
#include "src/optim/optimizer.h"
#include "src/optim/weight_average.h"
#include "src/train/running_statistics.h"
#include "src/train/step_graph.h"

namespace finetune {

// One training iteration on this rank's part of a batch: forward, backward with the all-reduces
// running at the same time, and the update of the parameters. Training runs it, and `finetune plan`
// measures it.
class TrainingStep {
 public:
  // Called on the thread of Run() at the start of each phase of the step. The phases are "forward"
  // and "backward", in turn, for each micro-batch (a single "forward and backward" where the passes
  // may be replayed); then "wait for gradients"; then "update".
  using OnPhase = std::function<void(const char* phase)>;
  // Returns a batch's images as the model takes them.
  using Images = std::function<at::Tensor(const Batch& batch)>;

  struct Result {
    // This rank's part of the mean loss of the global batch: a float64 scalar on the device. The
    // ranks' parts sum to the mean.
    at::Tensor loss;
    // The L2 norm of the gradients before clipping; unset where the config does not clip them.
    std::optional<double> gradient_norm;
  };

  // Creates the step. Moves the trained parameters and their gradients into contiguous memory.
  // `config`, `model` and `comm` must outlive the step. `class_weights`: the result of
  // ClassWeights(); empty if all weights are 1. `iterations_per_epoch`: used by optimizer.swa
  // alone. Errors: those of GradientBuckets::Create() and CreateOptimizer().
  static absl::StatusOr<std::unique_ptr<TrainingStep>> Create(
      const ExperimentConfig& config, at::Device device, Classifier* model, Communicator* comm,
      const std::vector<float>& class_weights = {}, int64_t iterations_per_epoch = 1);

  // Runs one iteration. Collective. `images` returns the batch's images as the model takes them.
  // `whole`: the global batch has its full size, which only an epoch's last batch may lack; only
  // full batches are recorded and replayed. `lr` is the learning rate of `iteration`, which counts
  // from 0. Errors: those of the all-reduces.
  absl::StatusOr<Result> Run(const Batch& batch, const Images& images, bool whole, double lr,
                             int64_t iteration, const OnPhase& on_phase);

  Optimizer& optimizer() { return *optimizer_; }

  // Returns the average of the trained parameters and of the running statistics that training
  // changes; null if the config has neither optimizer.ema nor optimizer.swa.
  WeightAverage* average() { return average_.has_value() ? &*average_ : nullptr; }
  // Returns the average after this number of iterations; null if it has not begun either.
  WeightAverage* AverageAfter(int64_t iterations) {
    return average_.has_value() && average_->HasBegun(iterations) ? &*average_ : nullptr;
  }
  // Returns the running statistics that training changes, [n] float32 in contiguous memory;
  // undefined if there are none, or if neither the ranks nor an average need them so.
  const at::Tensor& statistics() const { return statistics_->values(); }
  // Returns how this rank's part of a batch is divided into passes.
  MicroBatches PassesOf(const Batch& batch) const;
  // Returns the place of each trained parameter in the contiguous memory, in the reverse order of
  // the forward pass.
  const std::vector<ParameterSpan>& parameters() const { return buckets_->entries(); }
  // Returns the number of running statistics that each iteration averages over the ranks.
  int64_t averaged_statistics() const { return statistics_->size(); }

 private:
  TrainingStep(const ExperimentConfig& config, at::Device device, Classifier* model,
               Communicator* comm)
      : config_(config), device_(device), model_(*model), comm_(*comm), replayed_comm_(comm) {}

  bool SyncsBatchNorm() const { return config_.comm().sync_batch_norm() && comm_.size() > 1; }
  at::Tensor ForwardAndBackward(const Batch& batch, const Images& images, int64_t iteration,
                                const OnPhase& on_phase);

  const ExperimentConfig& config_;
  const at::Device device_;
  Classifier& model_;
  Communicator& comm_;
  // Wraps comm_ for the all-reduces of a recorded step.
  ReplayCommunicator replayed_comm_;
  std::unique_ptr<GradientBuckets> buckets_;
  std::unique_ptr<RunningStatistics> statistics_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<WeightAverage> average_;
  std::optional<StepGraph> graph_;
  std::optional<TrainingLoss> loss_;  // set by Create()
};

}  // namespace finetune

#endif  // FINETUNE_TRAIN_TRAINING_STEP_H_
