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
  history.evaluations.back().classes = {{8, 7}, {16, 4}};
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
  EXPECT_THAT(page, HasSubstr("<dt>Pictures per second</dt><dd>128.0</dd>"));
  EXPECT_THAT(page, HasSubstr("<dt>Waiting for data</dt><dd>20.0 %</dd>"));
  // 30 iterations of half a second and three validations of 4 s.
  EXPECT_THAT(page, HasSubstr("<dd>0:00:27</dd><dd class=\"note\">0:00:12 of it validating"));
  EXPECT_THAT(page, HasSubstr("<dd>321 MiB</dd>"));
  EXPECT_THAT(page, HasSubstr("cat</span><div class=\"bar\"><i style=\"width:87.5%\""));
  EXPECT_THAT(page, HasSubstr("25.0 % of 16"));
  EXPECT_THAT(page, HasSubstr("max_epochs: 3<span class=\"dim\">  # a.pbtxt:7:3</span>"));
}

TEST(Report, LoadsNothingAndRunsNothing) {
  const std::string page = RenderReport(SmallRun(), "");
  for (const char* what : {"<script", "http:", "https:", "<link", "<img", "@import", "url("}) {
    EXPECT_THAT(page, Not(HasSubstr(what)));
  }
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

TEST(Report, OfManyClassesShowsTheWorst) {
  History history = SmallRun();
  auto& classes = history.evaluations.back().classes;
  classes.assign(1000, {100, 90});
  classes[1] = {0, 0};
  classes[998] = {100, 3};
  const std::string page = RenderReport(history, "");
  EXPECT_THAT(page, HasSubstr("the worst 50 of 1000"));
  EXPECT_THAT(page, HasSubstr("class 998"));
  EXPECT_THAT(page, Not(HasSubstr("class 999")));
  EXPECT_THAT(page, Not(HasSubstr("no pictures")));
}

TEST(Report, IsWrittenIntoTheWorkDirFromItsRecords) {
  const std::string folder = EmptyTestFolder();
  const History history = SmallRun();
  ASSERT_TRUE(WriteFileAtomically(folder + "/1.jsonl", ToJson(history.runs[0]) + "\n" +
                                                           ToJson(history.iterations[0]) + "\n" +
                                                           ToJson(history.evaluations[2]))
                  .ok());
  ASSERT_TRUE(WriteFileAtomically(folder + "/config.pbtxt", "seed: 7\n").ok());
  const absl::StatusOr<std::string> path = WriteReport(folder);
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(*path, folder + "/report.html");
  const std::string page = *ReadFile(*path);
  EXPECT_THAT(page, HasSubstr("<h1>resnet</h1>"));
  EXPECT_THAT(page, HasSubstr("seed: 7"));
  EXPECT_THAT(page, HasSubstr("<span title=\"dog\">"));
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
