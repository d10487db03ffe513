// Compares the metrics with those of scikit-learn and scipy, which
// tests/fixtures/metrics/make_fixtures.py wrote.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/metrics/accuracy.h"
#include "src/metrics/bootstrap.h"
#include "src/metrics/by_class.h"
#include "src/metrics/calibration.h"
#include "src/metrics/mcnemar.h"

namespace finetune {
namespace {

constexpr double kRounding = 1e-12;

nlohmann::json Fixture() {
  std::ifstream file("tests/fixtures/metrics/metrics.json");
  EXPECT_TRUE(file) << "tests/fixtures/metrics/metrics.json is not there";
  return nlohmann::json::parse(file);
}

struct Case {
  nlohmann::json expected;
  int64_t classes = 0;
  std::vector<Prediction> predictions;
};

std::vector<Case> Cases() {
  std::vector<Case> cases;
  const nlohmann::json fixture = Fixture();
  for (const nlohmann::json& one : fixture["cases"]) {
    Case& made = cases.emplace_back();
    made.expected = one;
    made.classes = one["classes"];
    for (size_t i = 0; i < one["labels"].size(); ++i) {
      Prediction prediction;
      prediction.label = one["labels"][i];
      prediction.guess = one["guesses"][i];
      prediction.rank = one["ranks"][i];
      prediction.confidence = one["confidence"][i];
      made.predictions.push_back(prediction);
    }
  }
  EXPECT_EQ(cases.size(), 3u);
  return cases;
}

void ExpectAverages(const ClassAverages& averages, const nlohmann::json& expected) {
  EXPECT_NEAR(averages.precision, expected[0], kRounding);
  EXPECT_NEAR(averages.recall, expected[1], kRounding);
  EXPECT_NEAR(averages.f1, expected[2], kRounding);
}

TEST(AccuracyTest, MatchesScikitLearn) {
  for (const Case& one : Cases()) {
    EXPECT_NEAR(TopKAccuracy(one.predictions, 1), one.expected["accuracy"], kRounding);
    EXPECT_NEAR(TopKAccuracy(one.predictions, 3), one.expected["top3"], kRounding);
  }
}

TEST(ByClassTest, PrecisionRecallAndF1MatchScikitLearn) {
  for (const Case& one : Cases()) {
    const std::vector<ClassResult> results = CountByClass(one.predictions, one.classes);
    ASSERT_EQ(results.size(), static_cast<size_t>(one.classes));
    for (size_t label = 0; label < results.size(); ++label) {
      SCOPED_TRACE(label);
      EXPECT_EQ(results[label].support, one.expected["support"][label]);
      EXPECT_NEAR(results[label].Precision().value_or(0), one.expected["precision"][label],
                  kRounding);
      EXPECT_NEAR(results[label].Recall().value_or(0), one.expected["recall"][label], kRounding);
      EXPECT_NEAR(results[label].F1().value_or(0), one.expected["f1"][label], kRounding);
    }
    ExpectAverages(MacroAverages(results), one.expected["macro"]);
    ExpectAverages(MicroAverages(results), one.expected["micro"]);
    EXPECT_NEAR(BalancedAccuracy(results), one.expected["balanced_accuracy"], kRounding);
  }
}

TEST(ByClassTest, ConfusionMatrixMatchesScikitLearn) {
  for (const Case& one : Cases()) {
    std::vector<int64_t> expected;
    for (const nlohmann::json& row : one.expected["confusion"]) {
      expected.insert(expected.end(), row.begin(), row.end());
    }
    EXPECT_EQ(ConfusionMatrix(one.predictions, one.classes), expected);
  }
}

TEST(ByClassTest, ConfusionsAreTheMatrixWithoutItsDiagonalLargestFirst) {
  for (const Case& one : Cases()) {
    std::vector<int64_t> matrix = ConfusionMatrix(one.predictions, one.classes);
    int64_t last = INT64_MAX;
    for (const Confusion& confusion : Confusions(one.predictions)) {
      EXPECT_NE(confusion.label, confusion.guess);
      EXPECT_LE(confusion.images, last);
      last = confusion.images;
      int64_t& count = matrix[confusion.label * one.classes + confusion.guess];
      EXPECT_EQ(confusion.images, count);
      count = 0;
    }
    for (int64_t i = 0; i < one.classes * one.classes; ++i) {
      if (i % (one.classes + 1) == 0) continue;
      EXPECT_EQ(matrix[i], 0);
    }
  }
}

TEST(ByClassTest, TellsAClassWithoutImagesFromOneThatIsAlwaysWrong) {
  // Class 0 has an image and is never guessed. Class 2 occurs neither as a label nor as a guess.
  const std::vector<Prediction> predictions = {{.label = 0, .guess = 1, .rank = 1},
                                               {.label = 1, .guess = 1}};
  const std::vector<ClassResult> results = CountByClass(predictions, 3);
  EXPECT_EQ(results[0].Precision(), std::nullopt);
  EXPECT_EQ(results[0].Recall(), 0.0);
  EXPECT_EQ(results[0].F1(), 0.0);
  EXPECT_EQ(results[2].Recall(), std::nullopt);
  EXPECT_EQ(results[2].F1(), std::nullopt);
  EXPECT_DOUBLE_EQ(BalancedAccuracy(results), 0.5);
  EXPECT_DOUBLE_EQ(MacroAverages(results).precision, 0.25);
}

TEST(CalibrationTest, MatchesTheDefinition) {
  for (const Case& one : Cases()) {
    const Calibration calibration = Calibrate(one.predictions);
    EXPECT_NEAR(calibration.error, one.expected["calibration_error"], 1e-9);
    int64_t images = 0;
    for (const CalibrationBin& bin : calibration.bins) images += bin.images;
    EXPECT_EQ(images, static_cast<int64_t>(one.predictions.size()));
  }
}

TEST(CalibrationTest, ABinHoldsItsUpperEdge) {
  std::vector<Prediction> predictions(3);
  predictions[0].confidence = 0;
  predictions[1].confidence = 0.5F;
  predictions[2].confidence = 1;
  const Calibration calibration = Calibrate(predictions, 2);
  EXPECT_EQ(calibration.bins[0].images, 2);
  EXPECT_EQ(calibration.bins[1].images, 1);
}

Interval IntervalOf(const Case& one) {
  int64_t correct = 0;
  for (const Prediction& prediction : one.predictions) correct += prediction.correct() ? 1 : 0;
  return BootstrapAccuracy(correct, static_cast<int64_t>(one.predictions.size()));
}

TEST(BootstrapTest, ComesToTheBinomialQuantiles) {
  for (const Case& one : Cases()) {
    const Interval interval = IntervalOf(one);
    // Four standard deviations of a quantile that is estimated from 2000 draws, plus the smallest
    // difference between two accuracies.
    const double tolerance = 4 * one.expected["interval_deviation"].get<double>() +
                             1.0 / static_cast<double>(one.predictions.size());
    EXPECT_NEAR(interval.low, one.expected["interval"][0], tolerance);
    EXPECT_NEAR(interval.high, one.expected["interval"][1], tolerance);
  }
}

TEST(BootstrapTest, RepeatsItself) {
  const Interval first = BootstrapAccuracy(321, 500), again = BootstrapAccuracy(321, 500);
  EXPECT_EQ(first.low, again.low);
  EXPECT_EQ(first.high, again.high);
}

TEST(BootstrapTest, NarrowsWithTheRootOfTheNumberOfImages) {
  for (const int64_t images : {300, 30000, 3000000, 300000000}) {
    const Interval interval = BootstrapAccuracy(2 * images / 3, images);
    const double deviation = std::sqrt(2.0 / 9 / static_cast<double>(images));
    EXPECT_NEAR((interval.high - interval.low) / (2 * 1.96 * deviation), 1, 0.08) << images;
    EXPECT_NEAR((interval.high + interval.low) / 2, 2.0 / 3, 0.3 * deviation) << images;
  }
}

TEST(BootstrapTest, StaysWithinZeroAndOneNearTheEnds) {
  const Interval most = BootstrapAccuracy(999, 1000), few = BootstrapAccuracy(1, 3);
  EXPECT_EQ(most.high, 1);
  EXPECT_LT(most.low, 0.999);
  EXPECT_EQ(few.low, 0);
  EXPECT_LE(few.high, 1);
  EXPECT_EQ(BootstrapAccuracy(0, 10).high, 0);
  EXPECT_EQ(BootstrapAccuracy(10, 10).low, 1);
}

TEST(McNemarTest, MatchesScipysBinomialTest) {
  const nlohmann::json fixture = Fixture();
  ASSERT_EQ(fixture["mcnemar"].size(), 10u);
  for (const nlohmann::json& one : fixture["mcnemar"]) {
    const double p = one["p"];
    EXPECT_NEAR(McNemarPValue(one["first"], one["second"]), p, 1e-7 * p) << one.dump();
  }
}

TEST(McNemarTest, CountsPairsByWhichModelIsRight) {
  const auto answers = [](const std::vector<int>& right) {
    std::vector<Prediction> predictions(right.size());
    for (size_t i = 0; i < right.size(); ++i) predictions[i].guess = right[i] != 0 ? 0 : 1;
    return predictions;
  };
  const PairedResult result =
      CompareByMcNemar(answers({1, 1, 1, 0, 0, 0, 0}), answers({1, 0, 0, 1, 0, 0, 0}));
  EXPECT_EQ(result.both, 1);
  EXPECT_EQ(result.only_first, 2);
  EXPECT_EQ(result.only_second, 1);
  EXPECT_EQ(result.neither, 3);
  EXPECT_DOUBLE_EQ(result.p_value, 1);
}

TEST(MetricsTest, AcceptNoPredictions) {
  EXPECT_EQ(TopKAccuracy({}, 1), 0);
  EXPECT_EQ(MeanLoss({}), 0);
  EXPECT_EQ(BalancedAccuracy(CountByClass({}, 3)), 0);
  EXPECT_EQ(MacroAverages(CountByClass({}, 3)).f1, 0);
  EXPECT_EQ(Calibrate({}).error, 0);
  EXPECT_EQ(BootstrapAccuracy(0, 0).high, 0);
  EXPECT_EQ(CompareByMcNemar({}, {}).p_value, 1);
}

}  // namespace
}  // namespace finetune
