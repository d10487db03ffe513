#ifndef FINETUNE_TRAIN_EVALUATE_H_
#define FINETUNE_TRAIN_EVALUATE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/config/experiment.pb.h"
#include "src/data/loader.h"
#include "src/metrics/by_class.h"
#include "src/model/classifier.h"

namespace finetune {

// The result of evaluating a model on a whole split.
struct Evaluation {
  // The number of images that were evaluated.
  int64_t images = 0;
  // The number of damaged images of the split, which are left out. 0 unless data.on_corrupt is
  // SKIP.
  int64_t damaged = 0;
  // Mean cross-entropy.
  double loss = 0;
  // One entry for each k of head.topk, or for k = 1 where head.topk is empty. `accuracy` is the
  // share of images, 0..1, whose label is among the k classes with the largest scores.
  struct TopK {
    int k;
    double accuracy;
  };
  std::vector<TopK> topk;
  // One result for each class, in the order of labels.
  std::vector<ClassResult> classes;
  // [classes, classes], as ConfusionMatrix() returns it. Empty for more than kMostConfusionClasses
  // classes.
  std::vector<int64_t> confusion;
  double seconds = 0;

  // Returns the value of a metric. TOP5 needs 5 in head.topk.
  double ValueOf(ValidationMetric metric) const;

  // Returns the name of a top-k accuracy in logs: "top5" for k = 5.
  static std::string Name(int k) { return "top" + std::to_string(k); }
};

// The most classes for which an evaluation counts the confusion matrix. At this limit every
// validation all-reduces 80 KB of counts.
inline constexpr int64_t kMostConfusionClasses = 100;

// Returns the k of each top-k accuracy to report: head.topk, or 1 where it is empty.
std::vector<int> TopKs(const HeadConfig& head);

// Called after each batch that this rank evaluates. `done`: the number of this rank's batches so
// far; `total`: the number of all its batches. Returning false ends the evaluation, unless this was
// the last batch.
using EvaluationWatch = std::function<bool(int64_t done, int64_t total)>;

// Called for each batch with at least one image. `images`: the batch's images as the model takes
// them.
using BatchVisitor = std::function<void(const Batch& batch, const at::Tensor& images)>;

// Calls `visit` for each batch of this rank's part of the split, from the beginning and without
// recording gradients. Errors: those of the loader and of LibTorch; Cancelled where `watch`
// returned false. Not collective.
absl::Status VisitBatches(at::Device device, BatchLoader* loader, const EvaluationWatch& watch,
                          const BatchVisitor& visit);

// Returns an error where an evaluation of a split has no image to count, because all are damaged
// and were left out. `evaluated`: the number of images that were evaluated; `images`: those of the
// split. Errors: DataLoss.
absl::Status CheckAnyEvaluated(int64_t evaluated, int64_t images);

// Runs the model over every image of the split; each rank evaluates its part. Collective; all ranks
// get the same result. An error of the loader on one rank is returned on all. Errors: Cancelled
// where `watch` returned false on any rank; those of CheckAnyEvaluated().
absl::StatusOr<Evaluation> Evaluate(const HeadConfig& head, at::Device device, Classifier* model,
                                    BatchLoader* loader, Communicator* comm,
                                    const EvaluationWatch& watch);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_EVALUATE_H_
