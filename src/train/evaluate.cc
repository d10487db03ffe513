#include "src/train/evaluate.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>

#include "src/comm/agreement.h"
#include "src/model/loss.h"
#include "src/train/device.h"
#include "src/train/torch_error.h"

namespace finetune {

absl::StatusOr<Evaluation> Evaluate(const HeadConfig& head, at::Device device, Classifier* model,
                                    BatchLoader* loader, Communicator* comm,
                                    const EvaluationWatch& watch) {
  const auto start = std::chrono::steady_clock::now();
  const at::NoGradGuard no_grad;
  std::vector<int> ks(head.topk().begin(), head.topk().end());
  if (ks.empty()) ks.push_back(1);
  const size_t classes = static_cast<size_t>(head.num_classes());

  // Sums that all ranks add up: pictures, loss, correct by k, then pictures and correct by class;
  // last, the ranks that were told to stop.
  std::vector<double> sums(2 + ks.size() + 2 * classes + 1, 0.0);
  double* by_class = sums.data() + 2 + ks.size();
  loader->Seek(0, 0);
  absl::Status status;
  const int64_t batches = loader->sampler().iterations_per_epoch();
  DeviceBatches on_device(loader, device);
  const auto add = [&]() -> absl::Status {
    FT_ASSIGN_OR_RETURN(const Batch batch, on_device.Next());
    const int64_t n = batch.labels.size(0);
    if (n == 0) return absl::OkStatus();
    const at::Tensor logits = model->Forward(on_device.Images(batch), {.training = false});
    sums[0] += static_cast<double>(n);
    sums[1] += CrossEntropySum(logits, batch.labels, head.label_smoothing()).item<double>();
    const std::vector<int64_t> correct = TopKCorrect(logits, batch.labels, ks);
    for (size_t k = 0; k < ks.size(); ++k) sums[2 + k] += static_cast<double>(correct[k]);
    const at::Tensor guesses = logits.argmax(1).to(at::kCPU), labels = batch.labels.to(at::kCPU);
    const int64_t* guess = guesses.const_data_ptr<int64_t>();
    const int64_t* label = labels.const_data_ptr<int64_t>();
    for (int64_t j = 0; j < n; ++j) {
      by_class[2 * label[j]] += 1;
      by_class[2 * label[j] + 1] += guess[j] == label[j] ? 1 : 0;
    }
    return absl::OkStatus();
  };
  for (int64_t i = 0; i < batches && status.ok() && sums.back() == 0; ++i) {
    status = CatchTorch(add);
    if (!watch(i + 1, batches) && i + 1 < batches) sums.back() = 1;
  }
  FT_RETURN_IF_ERROR(Agree(status, *comm));
  FT_RETURN_IF_ERROR(comm->AllReduceSum(absl::MakeSpan(sums)));
  if (sums.back() > 0) return absl::CancelledError("the evaluation was stopped");

  Evaluation result;
  result.pictures = static_cast<int64_t>(sums[0]);
  result.loss = sums[1] / sums[0];
  for (size_t k = 0; k < ks.size(); ++k) result.topk.push_back({ks[k], sums[2 + k] / sums[0]});
  by_class = sums.data() + 2 + ks.size();
  for (size_t c = 0; c < classes; ++c) {
    result.classes.push_back(
        {static_cast<int64_t>(by_class[2 * c]), static_cast<int64_t>(by_class[2 * c + 1])});
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace finetune
