#include "src/metrics/by_class.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace finetune {
namespace {

std::optional<double> Share(int64_t part, int64_t whole) {
  if (whole == 0) return std::nullopt;
  return static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

std::optional<double> ClassResult::Precision() const { return Share(correct, guessed); }
std::optional<double> ClassResult::Recall() const { return Share(correct, support); }
std::optional<double> ClassResult::F1() const { return Share(2 * correct, support + guessed); }

std::vector<ClassResult> CountByClass(absl::Span<const Prediction> predictions, int64_t classes) {
  std::vector<ClassResult> results(static_cast<size_t>(classes));
  for (const Prediction& prediction : predictions) {
    ++results[prediction.label].support;
    ++results[prediction.guess].guessed;
    if (prediction.correct()) ++results[prediction.label].correct;
  }
  return results;
}

ClassAverages MacroAverages(absl::Span<const ClassResult> classes) {
  ClassAverages sum;
  double occurring = 0;
  for (const ClassResult& one : classes) {
    if (one.support + one.guessed == 0) continue;
    occurring += 1;
    sum.precision += one.Precision().value_or(0);
    sum.recall += one.Recall().value_or(0);
    sum.f1 += one.F1().value_or(0);
  }
  if (occurring == 0) return sum;
  return {sum.precision / occurring, sum.recall / occurring, sum.f1 / occurring};
}

ClassAverages MicroAverages(absl::Span<const ClassResult> classes) {
  ClassResult all;
  for (const ClassResult& one : classes) {
    all.support += one.support;
    all.guessed += one.guessed;
    all.correct += one.correct;
  }
  return {all.Precision().value_or(0), all.Recall().value_or(0), all.F1().value_or(0)};
}

double BalancedAccuracy(absl::Span<const ClassResult> classes) {
  double sum = 0, with_images = 0;
  for (const ClassResult& one : classes) {
    const std::optional<double> recall = one.Recall();
    if (!recall.has_value()) continue;
    sum += *recall;
    with_images += 1;
  }
  return with_images == 0 ? 0 : sum / with_images;
}

std::vector<int64_t> ConfusionMatrix(absl::Span<const Prediction> predictions, int64_t classes) {
  std::vector<int64_t> matrix(static_cast<size_t>(classes * classes));
  for (const Prediction& prediction : predictions) {
    ++matrix[prediction.label * classes + prediction.guess];
  }
  return matrix;
}

std::vector<Confusion> Confusions(absl::Span<const Prediction> predictions) {
  std::vector<std::pair<int32_t, int32_t>> wrong;
  for (const Prediction& prediction : predictions) {
    if (!prediction.correct()) wrong.emplace_back(prediction.label, prediction.guess);
  }
  std::sort(wrong.begin(), wrong.end());
  std::vector<Confusion> confusions;
  for (const auto& [label, guess] : wrong) {
    if (confusions.empty() || confusions.back().label != label ||
        confusions.back().guess != guess) {
      confusions.push_back({label, guess, 0});
    }
    ++confusions.back().images;
  }
  std::stable_sort(confusions.begin(), confusions.end(),
                   [](const Confusion& a, const Confusion& b) { return a.images > b.images; });
  return confusions;
}

}  // namespace finetune
