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
  struct ClassCount {
    int64_t pictures = 0;
    int64_t correct = 0;
  };
  std::vector<ClassCount> classes;
  double seconds = 0;

  // "top1".."topk" for logs.
  static std::string Name(int k) { return "top" + std::to_string(k); }
};

// Called after each batch of a rank's part: batches so far, and in all. False ends the evaluation
// where more follow.
using EvaluationWatch = std::function<bool(int64_t done, int64_t total)>;

// Runs the model over every picture of the split once, each rank its part. Collective; all ranks
// get the same result. A loader that fails on one rank fails on all. Errors: Cancelled where
// `watch` has ended it on any rank.
absl::StatusOr<Evaluation> Evaluate(const HeadConfig& head, at::Device device, Classifier* model,
                                    BatchLoader* loader, Communicator* comm,
                                    const EvaluationWatch& watch);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_EVALUATE_H_
