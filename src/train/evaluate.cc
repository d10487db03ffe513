#include "src/train/evaluate.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "src/comm/agreement.h"
#include "src/model/loss.h"
#include "src/train/device.h"
#include "src/train/torch_error.h"

namespace finetune {
namespace {

// Counts, for each class, the images and the model's guesses. The counts are float64 because the
// ranks all-reduce them. For up to kMostConfusionClasses classes they are the confusion matrix. For
// more classes there are three counts per class: its images, the images guessed as this class, and
// the images for which both hold.
class ClassCounts {
 public:
  explicit ClassCounts(size_t classes)
      : classes_(classes),
        has_matrix_(classes <= static_cast<size_t>(kMostConfusionClasses)),
        size_(has_matrix_ ? classes * classes : 3 * classes) {}

  size_t size() const { return size_; }

  // Counts one image. `counts`: [size()].
  void Add(int64_t label, int64_t guess, double* counts) const {
    if (has_matrix_) {
      counts[label * static_cast<int64_t>(classes_) + guess] += 1;
      return;
    }
    counts[3 * label] += 1;
    counts[3 * guess + 1] += 1;
    if (label == guess) counts[3 * label + 2] += 1;
  }

  void Read(const double* counts, Evaluation* result) const {
    result->classes.resize(classes_);
    if (has_matrix_) result->confusion.assign(counts, counts + size_);
    for (size_t label = 0; label < classes_; ++label) {
      ClassResult& own = result->classes[label];
      if (!has_matrix_) {
        own = {static_cast<int64_t>(counts[3 * label]), static_cast<int64_t>(counts[3 * label + 1]),
               static_cast<int64_t>(counts[3 * label + 2])};
        continue;
      }
      for (size_t guess = 0; guess < classes_; ++guess) {
        const int64_t images = result->confusion[label * classes_ + guess];
        own.support += images;
        result->classes[guess].guessed += images;
        if (label == guess) own.correct = images;
      }
    }
  }

 private:
  const size_t classes_;
  const bool has_matrix_;
  const size_t size_;
};

}  // namespace

double Evaluation::ValueOf(ValidationMetric metric) const {
  const auto top = [this](int k) {
    const auto found =
        std::find_if(topk.begin(), topk.end(), [k](const TopK& one) { return one.k == k; });
    return found == topk.end() ? 0.0 : found->accuracy;
  };
  switch (metric) {
    case TOP1:
      return MicroAverages(classes).recall;
    case TOP5:
      return top(5);
    case LOSS:
      return loss;
    case BALANCED_ACCURACY:
      return BalancedAccuracy(classes);
    case MACRO_F1:
      return MacroAverages(classes).f1;
  }
  return 0;
}

std::vector<int> TopKs(const HeadConfig& head) {
  if (head.topk().empty()) return {1};
  return {head.topk().begin(), head.topk().end()};
}

absl::Status VisitBatches(at::Device device, BatchLoader* loader, const EvaluationWatch& watch,
                          const BatchVisitor& visit) {
  const at::NoGradGuard no_grad;
  loader->Seek(0, 0);
  const int64_t batches = loader->sampler().iterations_per_epoch();
  DeviceBatches on_device(loader, device);
  for (int64_t i = 0; i < batches; ++i) {
    FT_RETURN_IF_ERROR(CatchTorch([&]() -> absl::Status {
      FT_ASSIGN_OR_RETURN(const Batch batch, on_device.Next());
      if (batch.labels.size(0) > 0) visit(batch, on_device.Images(batch));
      return absl::OkStatus();
    }));
    if (!watch(i + 1, batches) && i + 1 < batches) {
      return absl::CancelledError("the evaluation was stopped");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAnyEvaluated(int64_t evaluated, int64_t images) {
  if (evaluated > 0) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("data.val: all of its ", images,
                   " images are damaged and left out, as data.on_corrupt: SKIP says; expected one "
                   "that can be read. Check the split with prepare_dataset verify"));
}

absl::StatusOr<Evaluation> Evaluate(const HeadConfig& head, at::Device device, Classifier* model,
                                    BatchLoader* loader, Communicator* comm,
                                    const EvaluationWatch& watch) {
  const auto start = std::chrono::steady_clock::now();
  const std::vector<int> ks = TopKs(head);
  const ClassCounts by_class(static_cast<size_t>(head.num_classes()));

  // The sums that are all-reduced over the ranks: the number of images, the loss, the correct
  // images for each k, the counts of by_class, and last the number of ranks that were told to stop.
  const size_t first_count = 2 + ks.size();
  std::vector<double> sums(first_count + by_class.size() + 1, 0.0);
  absl::Status status =
      VisitBatches(device, loader, watch, [&](const Batch& batch, const at::Tensor& images) {
        const at::Tensor logits = model->Forward(images, {.training = false});
        const int64_t n = batch.labels.size(0);
        sums[0] += static_cast<double>(n);
        sums[1] += CrossEntropySum(logits, batch.labels, head.label_smoothing()).item<double>();
        const std::vector<int64_t> correct = TopKCorrect(logits, batch.labels, ks);
        for (size_t k = 0; k < ks.size(); ++k) sums[2 + k] += static_cast<double>(correct[k]);
        const at::Tensor guesses = logits.argmax(1).to(at::kCPU),
                         labels = batch.labels.to(at::kCPU);
        const int64_t* guess = guesses.const_data_ptr<int64_t>();
        const int64_t* label = labels.const_data_ptr<int64_t>();
        for (int64_t j = 0; j < n; ++j) by_class.Add(label[j], guess[j], &sums[first_count]);
      });
  if (absl::IsCancelled(status)) {
    sums.back() = 1;
    status = absl::OkStatus();
  }
  FT_RETURN_IF_ERROR(Agree(status, *comm));
  FT_RETURN_IF_ERROR(comm->AllReduceSum(absl::MakeSpan(sums)));
  if (sums.back() > 0) return absl::CancelledError("the evaluation was stopped");

  Evaluation result;
  result.images = static_cast<int64_t>(sums[0]);
  FT_RETURN_IF_ERROR(MarkAgreed(CheckAnyEvaluated(result.images, loader->sampler().images)));
  result.damaged = loader->sampler().images - result.images;
  result.loss = sums[1] / sums[0];
  for (size_t k = 0; k < ks.size(); ++k) result.topk.push_back({ks[k], sums[2 + k] / sums[0]});
  by_class.Read(&sums[first_count], &result);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace finetune
