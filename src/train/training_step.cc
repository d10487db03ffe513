#include "src/train/training_step.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/types/span.h"
#include "src/base/ceil_divide.h"
#include "src/optim/gradient_norm.h"

namespace finetune {

namespace {

TraitsByName TraitsOf(const Classifier& model) {
  TraitsByName traits;
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    const NamedTensor& parameter = model.parameters()[i];
    traits[parameter.name] = {model.PartsBehind(i), !model.IsLayersWeight(i)};
  }
  return traits;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainingStep>> TrainingStep::Create(
    const ExperimentConfig& config, at::Device device, Classifier* model, Communicator* comm,
    const std::vector<float>& class_weights, int64_t iterations_per_epoch) {
  std::unique_ptr<TrainingStep> step(new TrainingStep(config, device, model, comm));
  step->loss_.emplace(config.model().head(),
                      class_weights.empty() ? at::Tensor() : at::tensor(class_weights).to(device));
  const TensorList trained = model->TrainedParameters();
  // The running statistics are averaged over the ranks. With sync_batch_norm they are already equal
  // on all ranks. Statistics of frozen batch norms never change, so they are not averaged.
  const bool averages = !step->SyncsBatchNorm();
  TensorList statistics;
  const bool has_average = config.optimizer().average_case() != OptimizerConfig::AVERAGE_NOT_SET;
  if (averages || has_average) statistics = model->ChangingBuffers();
  if (config.runtime().cuda_graph() && StepGraph::RunsOn(device)) {
    step->graph_.emplace(device, &step->replayed_comm_);
  }
  FT_ASSIGN_OR_RETURN(step->buckets_,
                      GradientBuckets::Create(trained, config.comm(), &step->replayed_comm_));
  FT_ASSIGN_OR_RETURN(step->statistics_,
                      RunningStatistics::Create(statistics, averages, &step->replayed_comm_));
  FT_ASSIGN_OR_RETURN(step->optimizer_,
                      CreateOptimizer(config.optimizer(), step->buckets_->entries(),
                                      step->buckets_->values(), TraitsOf(*model)));
  if (has_average) {
    std::vector<at::Tensor> sources = {step->buckets_->values()};
    if (step->statistics_->values().defined()) sources.push_back(step->statistics_->values());
    if (config.optimizer().has_swa()) {
      step->average_.emplace(config.optimizer().swa(), iterations_per_epoch, std::move(sources));
    } else {
      step->average_.emplace(config.optimizer().ema(), std::move(sources));
    }
  }
  return step;
}

absl::StatusOr<TrainingStep::Result> TrainingStep::Run(const Batch& batch, const Images& images,
                                                       bool whole, double lr, int64_t iteration,
                                                       const OnPhase& on_phase) {
  Result result;
  if (graph_.has_value() && whole) {
    on_phase("forward and backward");
    FT_ASSIGN_OR_RETURN(result.loss, graph_->Run(batch, [&](const Batch& recorded) {
      return ForwardAndBackward(recorded, images, iteration, on_phase);
    }));
  } else {
    result.loss = ForwardAndBackward(batch, images, iteration, on_phase);
  }

  on_phase("wait for gradients");
  FT_RETURN_IF_ERROR(buckets_->Finish());
  FT_RETURN_IF_ERROR(statistics_->Finish());

  on_phase("update");
  double scale = 1;
  if (config_.optimizer().has_clip_gradient()) {
    const double norm = GradientNorm(buckets_->gradients());
    scale = std::min(1.0, config_.optimizer().clip_gradient().max_norm() / (norm + 1e-6));
    result.gradient_norm = norm;
  }
  optimizer_->Step(buckets_->gradients(), lr, scale, iteration);
  if (average_.has_value()) average_->Update(iteration);
  return result;
}

MicroBatches TrainingStep::PassesOf(const Batch& batch) const {
  const int64_t count = batch.labels.size(0);
  const int64_t most = config_.data().train().micro_batch_size();
  const int64_t largest_part = CeilDivide(batch.global_size, comm_.size());
  return SyncsBatchNorm() ? MicroBatches::InStep(count, largest_part, most)
                          : MicroBatches::Of(count, most);
}

// Runs forward and backward. When it returns, the gradients are in the buckets and their
// all-reduces are running. Every rank starts the all-reduce of the running statistics before those
// of the gradients. The latter start during backward or, on a rank without images, in
// EndBackward().
at::Tensor TrainingStep::ForwardAndBackward(const Batch& batch, const Images& images,
                                            int64_t iteration, const OnPhase& on_phase) {
  const MicroBatches micro = PassesOf(batch);
  at::Tensor loss_sum = at::zeros({}, at::TensorOptions(at::kDouble).device(device_));
  buckets_->Zero();
  const at::Tensor all_images = images(batch);
  const at::Tensor all_targets = Targets(batch, config_.model().head().num_classes());
  for (int64_t pass = 0; pass < micro.passes(); ++pass) {
    on_phase("forward");
    const bool last = pass + 1 == micro.passes();
    const at::Tensor part = all_images.narrow(0, micro.Begin(pass), micro.Size(pass));
    const at::Tensor targets = all_targets.narrow(0, micro.Begin(pass), micro.Size(pass));
    const ForwardContext context{
        .training = true,
        .iteration = iteration,
        .indices = absl::MakeConstSpan(batch.indices).subspan(micro.Begin(pass), micro.Size(pass))};
    const at::Tensor loss = loss_->Sum(model_.Forward(part, context), targets);
    if (last) statistics_->Start();
    on_phase("backward");
    buckets_->BeginBackward(/*communicate=*/last);
    // The mean over the global batch: an image has the same share in it, however the images are
    // divided between the ranks. With class weights the divisor is the number of images too, as in
    // mmpretrain. PyTorch divides by the sum of the images' class weights, which would have to be
    // summed over the ranks first.
    loss.div(static_cast<double>(batch.global_size)).backward();
    loss_sum += loss.detach();
  }
  if (micro.passes() == 0) {
    statistics_->Start();
    buckets_->BeginBackward(/*communicate=*/true);
  }
  buckets_->EndBackward();
  return loss_sum.div_(static_cast<double>(batch.global_size));
}

}  // namespace finetune
