#include "src/metrics/summary.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Two cats of which one is taken for a dog, three dogs that are recognized, and no image of the
// third class, fox.
EvaluationSummary SmallSummary() {
  const std::vector<Prediction> predictions = {
      {.label = 0, .guess = 0, .rank = 0, .confidence = 0.75F, .loss = 0.5F},
      {.label = 0, .guess = 1, .rank = 1, .confidence = 0.5F, .loss = 1.5F},
      {.label = 1, .guess = 1, .rank = 0, .confidence = 1, .loss = 0},
      {.label = 1, .guess = 1, .rank = 0, .confidence = 1, .loss = 0},
      {.label = 1, .guess = 1, .rank = 0, .confidence = 1, .loss = 0.5F}};
  return Summarize(predictions, {"cat", "dog", "fox"}, {1, 2});
}

// Returns the width of the widest line in columns of a terminal: characters, not bytes.
size_t Widest(const std::string& text) {
  size_t widest = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const auto columns = std::count_if(line.begin(), line.end(), [](char byte) {
      return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
    });
    widest = std::max(widest, static_cast<size_t>(columns));
  }
  return widest;
}

TEST(SummaryTest, TableShowsEachClassAndWhatItIsTakenFor) {
  const std::string table = ToTable(SmallSummary(), {});
  EXPECT_THAT(table, HasSubstr("accuracy 80.00 %, 95 % interval "));
  EXPECT_THAT(table, HasSubstr("balanced accuracy 75.00 %"));
  EXPECT_THAT(table, HasSubstr("cat                                2   100.00 %   50.00 %   66.67 %"
                               "  dog (1)\n"));
  EXPECT_THAT(table, HasSubstr("fox                                0          -         -         -"
                               "\n"));
  EXPECT_THAT(table, Not(HasSubstr("McNemar")));
}

TEST(SummaryTest, TableFitsAHundredColumns) {
  std::vector<std::string> names;
  std::vector<Prediction> predictions;
  for (int label = 0; label < 10; ++label) {
    names.push_back(absl::StrCat("\xc3\xb6ne clas\n with a very \xff long name, number ", label));
    // All images of a class are taken for the same other class, so that the count is wide.
    for (int i = 0; i < 12345; ++i) {
      predictions.push_back({.label = label, .guess = (label + 1) % 10, .rank = 1});
    }
  }
  EvaluationSummary summary = Summarize(predictions, names, {1});
  summary.classes[0].support = 12345678;
  summary.confusions[0].images = 1234567;
  EvaluationSource source;
  source.other = EvaluationSource::Other{"work_dirs/other/best.pth", 0.5, {}};
  const std::string table = ToTable(summary, source);
  EXPECT_LE(Widest(table), 100u) << table;
  EXPECT_THAT(table, HasSubstr("\xe2\x80\xa6"));
}

TEST(SummaryTest, TableOfManyClassesShowsTheOnesWithTheLowestF1) {
  std::vector<std::string> names;
  std::vector<Prediction> predictions;
  for (int label = 0; label < 200; ++label) {
    names.push_back(absl::StrCat("class ", label));
    predictions.push_back({.label = label, .guess = label == 150 ? 0 : label});
  }
  const std::string table = ToTable(Summarize(predictions, names, {1}), {});
  EXPECT_THAT(table, HasSubstr("the 50 classes with the lowest F1, of 200"));
  EXPECT_THAT(table, HasSubstr("class 150 "));
  EXPECT_THAT(table, Not(HasSubstr("class 199 ")));
}

TEST(SummaryTest, JsonHoldsEveryFigure) {
  EvaluationSource source;
  source.checkpoint = "best.pth";
  source.split = "test";
  source.other = EvaluationSource::Other{"other.pth", 0.6, {3, 1, 0, 1, 1.0}};
  const std::string text = ToJson(SmallSummary(), source);
  const nlohmann::json json = nlohmann::json::parse(text);
  EXPECT_EQ(json["checkpoint"], "best.pth");
  EXPECT_EQ(json["images"], 5);
  EXPECT_DOUBLE_EQ(json["loss"], 0.5);
  EXPECT_DOUBLE_EQ(json["topk"]["top1"], 0.8);
  EXPECT_DOUBLE_EQ(json["topk"]["top2"], 1.0);
  EXPECT_LE(json["accuracy_interval"]["low"], 0.8);
  EXPECT_GE(json["accuracy_interval"]["high"], 0.8);
  EXPECT_EQ(json["accuracy_interval"]["draws"], 2000);
  EXPECT_EQ(json["confusion"], nlohmann::json::parse("[[1,1,0],[0,3,0],[0,0,0]]"));
  EXPECT_EQ(json["classes"][0]["name"], "cat");
  EXPECT_EQ(json["classes"][2]["precision"], nullptr);
  EXPECT_EQ(json["calibration"]["bins"].size(), 15u);
  EXPECT_EQ(json["compared"]["only_first_right"], 1);
}

TEST(SummaryTest, HoldsNoMatrixOfTooManyClasses) {
  const std::vector<Prediction> predictions = {{.label = 1500, .guess = 3, .rank = 1}};
  const EvaluationSummary summary =
      Summarize(predictions, std::vector<std::string>(1501, "name"), {1});
  EXPECT_TRUE(summary.matrix.empty());
  EXPECT_EQ(nlohmann::json::parse(ToJson(summary, {}))["confusion"], nullptr);
  ASSERT_EQ(summary.confusions.size(), 1u);
  EXPECT_EQ(summary.confusions[0].label, 1500);
}

}  // namespace
}  // namespace finetune
