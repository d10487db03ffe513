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
  int64_t correct = 0;  // images that are both

  // The share of `guessed` that is correct, 0..1. Absent where nothing was guessed.
  std::optional<double> Precision() const;
  // The share of `support` that is correct, 0..1. Absent where there is no image of the class.
  std::optional<double> Recall() const;
  // The harmonic mean of precision and recall, 2 correct / (support + guessed). Absent where both
  // are.
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

// Returns the values of all classes' counts together, scikit-learn's average="micro". Where each
// image has one label, all three are the accuracy.
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

// Returns every pair of a class and another that it was taken for: the most images first, then by
// label and guess. Needs memory for the wrong predictions alone, for any number of classes.
std::vector<Confusion> Confusions(absl::Span<const Prediction> predictions);

}  // namespace finetune

#endif  // FINETUNE_METRICS_BY_CLASS_H_
