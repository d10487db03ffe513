#ifndef FINETUNE_METRICS_BY_CLASS_H_
#define FINETUNE_METRICS_BY_CLASS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "src/metrics/prediction.h"

namespace finetune {

// The images of one class and the images that a model takes for it.
struct ClassResult {
  int64_t support = 0;  // images of this class
  int64_t guessed = 0;  // images that the model takes for it
  int64_t correct = 0;  // images of this class that the model takes for it

  // The share of `guessed` that is correct, 0..1. Absent where `guessed` is 0.
  std::optional<double> Precision() const;
  // The share of `support` that is correct, 0..1. Absent where `support` is 0.
  std::optional<double> Recall() const;
  // The harmonic mean of precision and recall, 2 correct / (support + guessed). Absent where both
  // `support` and `guessed` are 0.
  std::optional<double> F1() const;
};

// Returns one result for each class. Labels and guesses are 0..classes - 1.
std::vector<ClassResult> CountByClass(absl::Span<const Prediction> predictions, int64_t classes);

struct ClassAverages {
  double precision = 0;
  double recall = 0;
  double f1 = 0;
};

// Returns the mean over the classes that occur as a label or as a guess, each with the same weight.
// A value that is absent counts as 0. This is scikit-learn's average="macro" with zero_division=0.
ClassAverages MacroAverages(absl::Span<const ClassResult> classes);

// Returns precision, recall and F1 of the summed counts of all classes, as scikit-learn's
// average="micro". Where each image has one label, all three equal the accuracy.
ClassAverages MicroAverages(absl::Span<const ClassResult> classes);

// Returns the mean recall of the classes that have images (Brodersen et al. 2010, "The balanced
// accuracy and its posterior distribution"), as scikit-learn's balanced_accuracy_score.
double BalancedAccuracy(absl::Span<const ClassResult> classes);

// Returns [classes, classes]: element label * classes + guess counts the images of `label` that the
// model takes for `guess`.
std::vector<int64_t> ConfusionMatrix(absl::Span<const Prediction> predictions, int64_t classes);

// Images of one class that the model takes for another.
struct Confusion {
  int32_t label = 0;
  int32_t guess = 0;
  int64_t images = 0;
};

// Returns one entry for each pair of a class and another class that its images were taken for,
// sorted by descending number of images, then by label and guess. Its memory grows with the number
// of wrong predictions, not with the number of classes.
std::vector<Confusion> Confusions(absl::Span<const Prediction> predictions);

}  // namespace finetune

#endif  // FINETUNE_METRICS_BY_CLASS_H_
