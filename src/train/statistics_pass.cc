#include "src/train/statistics_pass.h"

#include <ATen/core/grad_mode.h>

#include <memory>

#include "absl/types/span.h"
#include "src/data/micro_batches.h"

namespace finetune {

StatisticsPass::StatisticsPass(Classifier* model, TrainingStep* step, Communicator* comm)
    : model_(*model), step_(*step), comm_(*comm) {
  if (step_.statistics().defined()) before_ = step_.statistics().clone();
  for (const NamedTensor& buffer : model_.ChangingBuffers()) {
    if (!buffer.tensor.is_floating_point()) {
      counters_.emplace_back(buffer.tensor, buffer.tensor.clone());
    }
  }
}

StatisticsPass::~StatisticsPass() {
  const at::NoGradGuard no_grad;
  for (const auto& [counter, value] : counters_) counter.copy_(value);
  if (!finished_ && before_.defined()) step_.statistics().copy_(before_);
}

void StatisticsPass::Run(const Batch& batch, const TrainingStep::Images& images,
                         int64_t iteration) {
  const at::NoGradGuard no_grad;
  const MicroBatches micro = step_.PassesOf(batch);
  const at::Tensor all_images = images(batch);
  for (int64_t pass = 0; pass < micro.passes(); ++pass) {
    // After n passes each has a share of 1 / n.
    const ForwardContext context{
        .training = true,
        .iteration = iteration,
        .indices = absl::MakeConstSpan(batch.indices).subspan(micro.Begin(pass), micro.Size(pass)),
        .statistics_momentum = 1.0 / static_cast<double>(++passes_)};
    model_.Forward(all_images.narrow(0, micro.Begin(pass), micro.Size(pass)), context);
  }
}

absl::Status StatisticsPass::Finish() {
  const at::Tensor& statistics = step_.statistics();
  if (statistics.defined() && comm_.size() > 1) {
    double all[1] = {static_cast<double>(passes_)};
    FT_RETURN_IF_ERROR(comm_.AllReduceSum(absl::MakeSpan(all)));
    at::Tensor values = statistics;
    values.mul_(static_cast<double>(passes_) / all[0]);
    FT_ASSIGN_OR_RETURN(const std::unique_ptr<Communicator::Work> work, comm_.AllReduceSum(values));
    FT_RETURN_IF_ERROR(work->Wait());
  }
  finished_ = true;
  return absl::OkStatus();
}

}  // namespace finetune
