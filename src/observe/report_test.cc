#include "src/observe/report.h"

#include <cmath>
#include <filesystem>
#include <limits>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/base/version.h"
#include "src/observe/first_batch.h"

namespace finetune {
namespace {

using testing::HasSubstr;
using testing::Not;

IterationRecord Iteration(int64_t iteration, double loss) {
  IterationRecord record;
  record.epoch = 1;
  record.iteration = iteration;
  record.averaged = 10;
  record.loss = loss;
  record.lr = 0.01;
  record.time_s = 0.5;
  record.data_time_s = 0.1;
  record.images_per_s = 128;
  record.memory_mib = 321;
  return record;
}

EvaluationRecord Evaluation(int64_t epoch, double top1) {
  EvaluationRecord record;
  record.epoch = epoch;
  record.iteration = 10 * epoch;
  record.loss = 1.5;
  record.accuracy = {{"top1", top1}, {"top5", 1}};
  record.seconds = 4;
  return record;
}

History SmallRun() {
  History history;
  RunRecord run;
  run.writer = "finetune 0.0.7";
  run.name = "resnet";
  run.host = "node7";
  run.ranks = 4;
  run.began_unix_s = 1795000000;
  run.class_names = {"cat", "dog"};
  history.runs = {run};
  history.iterations = {Iteration(10, 2.5), Iteration(20, 1.25), Iteration(30, 0.75)};
  history.evaluations = {Evaluation(1, 0.5), Evaluation(2, 0.8125), Evaluation(3, 0.75)};
  EvaluationRecord& last = history.evaluations.back();
  last.classes = {{8, 19, 7}, {16, 5, 4}};
  last.has_guessed = true;
  last.confusion = {7, 1, 12, 4};
  return history;
}

TEST(Report, NamesTheRunAndItsKeyFigures) {
  const std::string page = RenderReport(SmallRun(), "max_epochs: 3  # a.pbtxt:7:3\n");
  EXPECT_THAT(page, HasSubstr("<h1>resnet</h1>"));
  EXPECT_THAT(page, HasSubstr("4 ranks, rank 0 on node7 &middot; finetune 0.0.7"));
  EXPECT_THAT(page, HasSubstr(absl::StrCat("content=\"", kFinetuneWriter, "\"")));
  EXPECT_THAT(page, HasSubstr("<dd>0.75</dd><dd class=\"note\">first 2.5; after 30 iterations"));
  EXPECT_THAT(page,
              HasSubstr("<dd>81.25 %</dd><dd class=\"note\">epoch 2, iteration 20; last 75.00 %"));
  EXPECT_THAT(page, HasSubstr("<dt>Images per second</dt><dd>128.0</dd>"));
  EXPECT_THAT(page, HasSubstr("<dt>Waiting for data</dt><dd>20.0 %</dd>"));
  // 30 iterations of 0.5 s and three validations of 4 s take 27 s, 12 s of them for validation.
  EXPECT_THAT(page, HasSubstr("<dd>0:00:27</dd><dd class=\"note\">0:00:12 of it validating"));
  EXPECT_THAT(page, HasSubstr("<dd>321 MiB</dd>"));
  EXPECT_THAT(page, HasSubstr("dog taken for cat: 12"));
  EXPECT_THAT(page, HasSubstr("max_epochs: 3<span class=\"dim\">  # a.pbtxt:7:3</span>"));
}

TEST(Report, SaysWhyTheRunStoppedEarly) {
  History history = SmallRun();
  history.ends = {{30, "stopped early after iteration 30, because <it> did not improve"}};
  const std::string html = RenderReport(history, "");
  EXPECT_THAT(html, HasSubstr("Stopped early</dt><dd>iteration 30</dd>"));
  EXPECT_THAT(html, HasSubstr("because &lt;it&gt; did not improve"));
}

TEST(Report, LoadsNothingAndRunsNothing) {
  const std::string page = RenderReport(SmallRun(), "");
  for (const char* what : {"<script", "http:", "https:", "<link", "<img", "@import", "url("}) {
    EXPECT_THAT(page, Not(HasSubstr(what)));
  }
}

FirstBatch TwoImages() {
  return {1, "2 of <16> images", {{"image/png", "abc", "0: c&t"}, {"image/jpeg", "abd", "5: dog"}}};
}

TEST(Report, BeginsWithTheImagesThatTheModelGetsInThePageItself) {
  const std::string page = RenderReport(SmallRun(), "", TwoImages());
  const size_t images = page.find(
      "<figure><img alt=\"\" src=\"data:image/png;base64,YWJj\">"
      "<figcaption>0: c&amp;t</figcaption></figure>");
  ASSERT_NE(images, std::string::npos);
  EXPECT_LT(images, page.find("<div class=\"figures\">"));
  EXPECT_THAT(page, HasSubstr("2 of &lt;16&gt; images"));
  EXPECT_THAT(page, HasSubstr("src=\"data:image/jpeg;base64,YWJk\""));
  for (const char* what : {"<script", "http:", "https:", "<link", "@import", "url("}) {
    EXPECT_THAT(page, Not(HasSubstr(what)));
  }
}

TEST(Report, SaysWhyThereAreNoImages) {
  EXPECT_THAT(RenderReport(SmallRun(), "", absl::DataLossError("<b>cut short")),
              HasSubstr("No images: &lt;b&gt;cut short"));
  EXPECT_THAT(RenderReport(SmallRun(), ""), Not(HasSubstr("What the model gets")));
}

TEST(Report, EscapesWhatOthersWrote) {
  History history = SmallRun();
  history.runs[0].name = "<script>1</script>";
  history.runs[0].host = "<b>host";
  history.runs[0].class_names = {"\"><i>cat", "d&g"};
  for (EvaluationRecord& evaluation : history.evaluations) {
    evaluation.accuracy["<u>"] = 0.5;
  }
  const std::string page = RenderReport(history, "name: \"<em>\"  # <tt>.pbtxt:1:1\n");
  for (const char* raw : {"<script", "<b>", "<i>cat", "d&g", "<u>", "<em>", "<tt>"}) {
    EXPECT_THAT(page, Not(HasSubstr(raw)));
  }
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;1&lt;/script&gt;"));
}

TEST(Report, OfNothingOneRecordOrNoNumbersIsStillAPage) {
  History one;
  one.iterations = {Iteration(1, 2)};
  History none = SmallRun();
  for (IterationRecord& record : none.iterations) {
    record.loss = record.time_s = record.images_per_s = std::nan("");
    record.lr = std::numeric_limits<double>::infinity();
  }
  none.evaluations.clear();
  for (const History& history : {History(), one, none}) {
    const std::string page = RenderReport(history, "");
    EXPECT_THAT(page, HasSubstr("no values"));
    EXPECT_THAT(page, testing::EndsWith("</body></html>\n"));
  }
}

// The rows are in the order of the classes. Each row has its positions when sorted by images,
// precision, recall and F1 as CSS variables.
TEST(Report, SortsTheClassesByEachColumnWithoutAScript) {
  const std::string page = RenderReport(SmallRun(), "");
  EXPECT_THAT(page, HasSubstr("after iteration 30, the validation with the best accuracy"));
  EXPECT_THAT(page,
              HasSubstr("style=\"--s:0;--p:0;--r:1;--f:1\"><span role=\"cell\" title=\"cat\""));
  EXPECT_THAT(page,
              HasSubstr("style=\"--s:1;--p:1;--r:0;--f:0\"><span role=\"cell\" title=\"dog\""));
  for (const char* order : {"c", "s", "p", "r", "f"}) {
    EXPECT_THAT(page,
                HasSubstr(absl::StrCat("<input type=\"radio\" name=\"order\" id=\"by-", order)));
    if (*order != 'c') {
      EXPECT_THAT(page, HasSubstr(absl::StrCat(
                            "#by-", order, ":checked ~ .rows .row { order: var(--", order, ")")));
    }
  }
  // Precision, recall and F1 of the class cat: 7 of the 19 images taken for cats are cats, and 7 of
  // the 8 cats are recognized.
  EXPECT_THAT(page, HasSubstr("<span role=\"cell\">36.8 %</span><span role=\"cell\">87.5 %</span>"
                              "<span role=\"cell\">51.9 %</span>"));
}

TEST(Report, ShowsTheClassesOfTheBestValidation) {
  History history = SmallRun();
  history.evaluations[0].classes = {{8, 8, 8}, {16, 16, 16}};
  history.evaluations[0].has_guessed = true;
  EXPECT_THAT(RenderReport(history, ""),
              HasSubstr("after iteration 10, the validation with the best accuracy"));
}

// Records of programs before 0.1.0 have only the number of images of each class and the number of
// right ones.
TEST(Report, OfARunWithoutGuessesShowsRecallAlone) {
  History history = SmallRun();
  history.evaluations.back().has_guessed = false;
  history.evaluations.back().confusion.clear();
  const std::string page = RenderReport(history, "");
  EXPECT_THAT(page, HasSubstr("id=\"by-r\""));
  EXPECT_THAT(page, Not(HasSubstr("id=\"by-p\"")));
  EXPECT_THAT(page,
              HasSubstr("<span role=\"cell\">8</span><span role=\"cell\">87.5 %</span></div>"));
}

TEST(Report, DrawsTheConfusionMatrixByShareOfItsRow) {
  const std::string page = RenderReport(SmallRun(), "");
  // 7 of 8 cats are right, and 12 of 16 dogs are taken for cats. Both shares are rounded up to the
  // next shade.
  EXPECT_THAT(page, HasSubstr("<path class=\"right\" fill-opacity=\"0.9\" d=\"M0 0h1v1h-1z\"/>"));
  EXPECT_THAT(page, HasSubstr("<path class=\"wrong\" fill-opacity=\"0.8\" d=\"M0 1h1v1h-1z\"/>"));
  EXPECT_THAT(page, HasSubstr(">12</text>"));
}

TEST(Report, DrawsAMatrixOfAHundredClassesWithoutNames) {
  History history = SmallRun();
  EvaluationRecord& last = history.evaluations.back();
  last.classes.assign(100, {100, 100, 50});
  last.confusion.assign(10000, 1);
  const std::string page = RenderReport(history, "");
  EXPECT_THAT(page, HasSubstr("M99 98h1v1h-1z"));
  EXPECT_THAT(page, Not(HasSubstr("class=\"count\"")));
  EXPECT_LT(page.size(), 400000u);
}

TEST(Report, OfManyClassesShowsTheWorst) {
  History history = SmallRun();
  auto& classes = history.evaluations.back().classes;
  classes.assign(5000, {100, 90, 90});
  classes[1] = {0, 0, 0};
  classes[4998] = {100, 3, 3};
  history.evaluations.back().confusion.clear();
  const std::string page = RenderReport(history, "");
  EXPECT_THAT(page, HasSubstr("the 1000 classes with the lowest recall, of 5000"));
  EXPECT_THAT(page, HasSubstr("title=\"class 4998\""));
  EXPECT_THAT(page, Not(HasSubstr("title=\"class 4999\"")));
  EXPECT_THAT(page, Not(HasSubstr("title=\"dog\"")));
  EXPECT_THAT(page, Not(HasSubstr("Confusion matrix")));
}

TEST(Report, IsWrittenIntoTheWorkDirFromItsRecords) {
  const std::string folder = EmptyTestFolder();
  const History history = SmallRun();
  ASSERT_TRUE(WriteFileAtomically(folder + "/1.jsonl", ToJson(history.runs[0]) + "\n" +
                                                           ToJson(history.iterations[0]) + "\n" +
                                                           ToJson(history.evaluations[2]))
                  .ok());
  ASSERT_TRUE(WriteFileAtomically(folder + "/config.pbtxt", "seed: 7\n").ok());
  ASSERT_TRUE(WriteFileAtomically(FirstBatchPath(folder), ToJson(TwoImages())).ok());
  const absl::StatusOr<std::string> path = WriteReport(folder);
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(*path, folder + "/report.html");
  const std::string page = *ReadFile(*path);
  EXPECT_THAT(page, HasSubstr("<h1>resnet</h1>"));
  EXPECT_THAT(page, HasSubstr("seed: 7"));
  EXPECT_THAT(page, HasSubstr("5: dog"));
  EXPECT_THAT(page, HasSubstr("title=\"dog\""));
}

TEST(Report, OfAFolderWithoutARunIsAnErrorThatNamesIt) {
  const std::string folder = EmptyTestFolder();
  const absl::Status status = WriteReport(folder).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder));
  EXPECT_FALSE(std::filesystem::exists(folder + "/report.html"));
}

}  // namespace
}  // namespace finetune
