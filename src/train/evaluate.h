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

// What a model makes of a whole split.
struct Evaluation {
  int64_t pictures = 0;
  // Mean cross-entropy.
  double loss = 0;
  // For each k of head.topk (1 where it is empty), the share of pictures whose label is among the
  // first k, in 0..1.
  struct TopK {
    int k;
    double accuracy;
  };
  std::vector<TopK> topk;
  // Of each class, in the order of labels.
  std::vector<ClassResult> classes;
  // As ConfusionMatrix(). Empty for more than kMostConfusionClasses classes.
  std::vector<int64_t> confusion;
  double seconds = 0;

  // "top1".."topk" for logs.
  static std::string Name(int k) { return "top" + std::to_string(k); }
};

// The ranks sum the matrix of every validation: 80 KB of counts each.
inline constexpr int64_t kMostConfusionClasses = 100;

// The k of each top-k accuracy to report: head.topk, or 1 where it is empty.
std::vector<int> TopKs(const HeadConfig& head);

// Called after each batch of a rank's part: batches so far, and in all. False ends the evaluation
// where more follow.
using EvaluationWatch = std::function<bool(int64_t done, int64_t total)>;

// Sees a batch that is not empty, and its pictures as the model takes them.
using BatchVisitor = std::function<void(const Batch& batch, const at::Tensor& images)>;

// Goes once through this rank's part of the loader's split, without recording gradients. Errors:
// those of the loader and of LibTorch; Cancelled where `watch` has ended it. Not collective.
absl::Status VisitBatches(at::Device device, BatchLoader* loader, const EvaluationWatch& watch,
                          const BatchVisitor& visit);

// Runs the model over every picture of the split once, each rank its part. Collective; all ranks
// get the same result. A loader that fails on one rank fails on all. Errors: Cancelled where
// `watch` has ended it on any rank.
absl::StatusOr<Evaluation> Evaluate(const HeadConfig& head, at::Device device, Classifier* model,
                                    BatchLoader* loader, Communicator* comm,
                                    const EvaluationWatch& watch);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_EVALUATE_H_
