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
  // [classes, classes], as ConfusionMatrix() returns it. Empty for more than kMostMatrixClasses
  // classes.
  std::vector<int64_t> matrix;
  std::vector<Confusion> confusions;
};

// Returns all metrics of the predictions. `ks`: the k of each top-k accuracy to compute.
EvaluationSummary Summarize(absl::Span<const Prediction> predictions,
                            std::vector<std::string> class_names, const std::vector<int>& ks);

// The facts to report about an evaluation: the model, the images, and the model that it is compared
// with.
struct EvaluationSource {
  std::string checkpoint;
  std::string config;
  std::string data;   // the data set's folder
  std::string split;  // "test"
  bool flip = false;
  // The number of the split's images that are damaged and in no figure.
  int64_t damaged = 0;
  struct Other {
    std::string checkpoint;
    double accuracy = 0;
    PairedResult result;  // the evaluated model is the first
  };
  std::optional<Other> other;
};

// Returns text with lines of at most 100 columns: the metrics, and a table of the classes. With
// more than 50 classes the table shows the 50 with the lowest F1.
std::string ToTable(const EvaluationSummary& summary, const EvaluationSource& source);

// Returns one JSON object with every metric. A value that is not defined is null: the precision of
// a class that was never guessed, and the confusion matrix of more than kMostMatrixClasses classes.
std::string ToJson(const EvaluationSummary& summary, const EvaluationSource& source);

}  // namespace finetune

#endif  // FINETUNE_METRICS_SUMMARY_H_
