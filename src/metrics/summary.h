#ifndef FINETUNE_METRICS_SUMMARY_H_
#define FINETUNE_METRICS_SUMMARY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "src/metrics/bootstrap.h"
#include "src/metrics/by_class.h"
#include "src/metrics/calibration.h"
#include "src/metrics/mcnemar.h"
#include "src/metrics/prediction.h"

namespace finetune {

// The most classes whose confusion matrix a summary holds: 8 MB of counts.
inline constexpr int64_t kMostMatrixClasses = 1000;

// All metrics of one model on one data set.
struct EvaluationSummary {
  std::vector<std::string> class_names;  // in the order of labels
  int64_t images = 0;
  double loss = 0;
  std::vector<std::pair<int, double>> topk;  // k and the accuracy, 0..1
  double accuracy = 0;
  Interval accuracy_interval;
  double balanced_accuracy = 0;
  ClassAverages macro, micro;
  Calibration calibration;
  std::vector<ClassResult> classes;
  // As ConfusionMatrix(). Empty for more than kMostMatrixClasses classes.
  std::vector<int64_t> matrix;
  std::vector<Confusion> confusions;
};

// `ks`: the k of each top-k accuracy.
EvaluationSummary Summarize(absl::Span<const Prediction> predictions,
                            std::vector<std::string> class_names, const std::vector<int>& ks);

// Which model was evaluated on which images, and with which other model it is compared.
struct EvaluationSource {
  std::string checkpoint;
  std::string config;
  std::string data;   // the data set's folder
  std::string split;  // "test"
  bool flip = false;
  struct Other {
    std::string checkpoint;
    double accuracy = 0;
    PairedResult result;  // the evaluated model is the first
  };
  std::optional<Other> other;
};

// Returns lines of at most 100 columns: the figures, and a table of the classes, of which a summary
// of many shows those with the lowest F1.
std::string ToTable(const EvaluationSummary& summary, const EvaluationSource& source);

// Returns one JSON object with every figure. A value that is not defined is null: the precision of
// a class that nothing was taken for, and the matrix of too many classes.
std::string ToJson(const EvaluationSummary& summary, const EvaluationSource& source);

}  // namespace finetune

#endif  // FINETUNE_METRICS_SUMMARY_H_
