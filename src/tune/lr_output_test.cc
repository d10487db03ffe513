#include "src/tune/lr_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"

namespace finetune {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

// A test whose loss falls around 1e-3 and is infinite above 1.
LrResult Fell() {
  LrResult result(LrTestOptions{.min = 1e-6, .max = 100, .iterations = 81, .smoothing = 0});
  result.config = "demo.pbtxt";
  result.field = "optimizer.sgd.lr";
  result.total_batch = 64;
  result.ranks = 2;
  while (true) {
    const double log_lr = std::log10(result.curve.NextRate());
    const double loss = log_lr > 0.01 ? HUGE_VAL : 2 - std::tanh(3 * (log_lr + 3));
    if (!result.curve.Add(loss)) break;
  }
  result.suggestion = *SuggestLearningRate(result.curve);
  return result;
}

TEST(LrOutput, PrintsAFewPointsTheEndAndTheLineForTheConfig) {
  const std::string text = ToTable(Fell());
  EXPECT_THAT(text, AllOf(StartsWith("64 images an iteration on 2 ranks, lr 1e-06 to 100 in 81 "
                                     "iterations, loss smoothed by 0\n"),
                          HasSubstr("        31   1.00e-03          2          2  steepest\n"),
                          HasSubstr("ended at lr 1.26e+00 in iteration 62: the loss is not "
                                    "finite\n"),
                          HasSubstr("suggestion: 0.001, where the smoothed loss falls most "
                                    "steeply\n  --set=optimizer.sgd.lr=0.001\n")));
  EXPECT_THAT(text, Not(HasSubstr("auto_scale_lr")));
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  EXPECT_THAT(lines, SizeIs(testing::Le(25)));
  // The first and the last point are in the table.
  EXPECT_THAT(text, AllOf(HasSubstr("\n         1   1.00e-06"), HasSubstr("\n        61")));
}

// A run multiplies the field's value by the factor, so the line must divide by it.
TEST(LrOutput, TheLineAllowsForAutoScaleLr) {
  LrResult result = Fell();
  result.field_factor = 0.5;
  EXPECT_EQ(SetLearningRate(result, 0.01), "--set=optimizer.sgd.lr=0.02");
  EXPECT_THAT(ToTable(result), HasSubstr("multiplies the field by 0.5 at this batch"));
}

TEST(LrOutput, WithoutASuggestionNoLineIsPrinted) {
  LrResult result = Fell();
  result.suggestion.reset();
  EXPECT_THAT(ToTable(result), Not(HasSubstr("--set")));
  EXPECT_EQ(nlohmann::json::parse(ToFile(result, LrFormat::kJson))["suggestion"], nullptr);
  EXPECT_THAT(ToFile(result, LrFormat::kSvg), Not(HasSubstr("steepest")));
}

TEST(LrOutput, CsvHasEveryPoint) {
  const std::string csv = ToFile(Fell(), LrFormat::kCsv);
  const std::vector<std::string> lines = absl::StrSplit(csv, '\n', absl::SkipEmpty());
  EXPECT_THAT(lines, SizeIs(62));
  EXPECT_EQ(lines[0], "iteration,lr,loss,smoothed_loss");
  EXPECT_THAT(lines[1], StartsWith("1,1e-06,2.9"));
}

TEST(LrOutput, JsonHasEveryPointAndTheSuggestion) {
  const auto json = nlohmann::json::parse(ToFile(Fell(), LrFormat::kJson));
  EXPECT_EQ(json["end"], "not_finite");
  EXPECT_EQ(json["points"].size(), 61u);
  EXPECT_NEAR(json["suggestion"]["steepest"].get<double>(), 1e-3, 1e-9);
  EXPECT_EQ(json["suggestion"]["set"], "--set=optimizer.sgd.lr=0.001");
  EXPECT_EQ(json["points"][0].size(), 3u);
}

TEST(LrOutput, SvgIsAnImageOfItsOwn) {
  const std::string svg = ToFile(Fell(), LrFormat::kSvg);
  EXPECT_THAT(svg,
              AllOf(StartsWith("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox="),
                    HasSubstr("<style>"), HasSubstr(">1e-4</text>"), HasSubstr("steepest 1.0e-03"),
                    HasSubstr("class=\"dot3\""), Not(HasSubstr("nan"))));
}

TEST(LrOutput, KnowsTheFormatByTheEnding) {
  EXPECT_EQ(*FormatOf("a/b.csv"), LrFormat::kCsv);
  EXPECT_EQ(*FormatOf("b.json"), LrFormat::kJson);
  EXPECT_EQ(*FormatOf("b.svg"), LrFormat::kSvg);
  EXPECT_EQ(FormatOf("b.png").status().message(),
            "--output: found b.png; expected a name that ends in .csv, .json or .svg");
}

}  // namespace
}  // namespace finetune
