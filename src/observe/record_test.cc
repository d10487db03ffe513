#include "src/observe/record.h"

#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"

namespace finetune {
namespace {

using testing::ElementsAre;
using testing::Field;

IterationRecord Iteration(int64_t iteration, double loss) {
  IterationRecord record;
  record.epoch = 1;
  record.iteration = iteration;
  record.loss = loss;
  record.lr = 0.01;
  record.time_s = 0.5;
  record.memory_mib = 321;
  return record;
}

EvaluationRecord Evaluation(int64_t iteration, double top1) {
  EvaluationRecord record;
  record.iteration = iteration;
  record.accuracy = {{"top1", top1}, {"top5", 1}};
  return record;
}

TEST(Record, IsOneLineWithTheNamedFields) {
  const std::string line = ToJson(Iteration(8, 2.25));
  EXPECT_EQ(line.find('\n'), std::string::npos);
  for (const char* field :
       {"\"loss\":2.25", "\"lr\":0.01", "\"time\":0.5", "\"data_time\":", "\"memory\":321",
        "\"eta\":", "\"iteration\":8", "\"mode\":\"train\""}) {
    EXPECT_THAT(line, testing::HasSubstr(field));
  }
  EXPECT_THAT(ToJson(Evaluation(8, 0.75)), testing::HasSubstr("\"accuracy\":{\"top1\":0.75"));
}

TEST(Record, IsReadBackUnchanged) {
  IterationRecord record = Iteration(8, 0.1);
  record.gradient_norm = 1.5;
  History history;
  AddRecords(ToJson(record) + "\n" + ToJson(Evaluation(8, 0.75)) + "\n", &history);
  ASSERT_EQ(history.iterations.size(), 1u);
  EXPECT_EQ(history.iterations[0].loss, 0.1);
  EXPECT_EQ(history.iterations[0].time_s, 0.5);
  EXPECT_EQ(history.iterations[0].memory_mib, 321);
  EXPECT_EQ(history.iterations[0].gradient_norm, 1.5);
  ASSERT_EQ(history.evaluations.size(), 1u);
  EXPECT_EQ(history.evaluations[0].accuracy.at("top1"), 0.75);
}

TEST(Record, KeepsARunAndItsClasses) {
  RunRecord run;
  run.name = "a \"run\"";
  run.host = "node7";
  run.ranks = 8;
  run.iteration = 96;
  run.began_unix_s = 1795000000.5;
  run.class_names = {"cat", "d\xf6g"};  // Latin-1: no UTF-8
  EvaluationRecord evaluation = Evaluation(100, 0.5);
  evaluation.classes = {{10, 7}, {12, 0}};
  History history;
  AddRecords(ToJson(run) + "\n" + ToJson(evaluation), &history);
  ASSERT_EQ(history.runs.size(), 1u);
  EXPECT_EQ(history.runs[0].name, run.name);
  EXPECT_EQ(history.runs[0].host, "node7");
  EXPECT_EQ(history.runs[0].ranks, 8);
  EXPECT_EQ(history.runs[0].iteration, 96);
  EXPECT_EQ(history.runs[0].began_unix_s, 1795000000.5);
  EXPECT_THAT(history.runs[0].class_names, ElementsAre("cat", "d\xef\xbf\xbdg"));
  ASSERT_EQ(history.evaluations.size(), 1u);
  ASSERT_EQ(history.evaluations[0].classes.size(), 2u);
  EXPECT_EQ(history.evaluations[0].classes[0].correct, 7);
  EXPECT_EQ(history.evaluations[0].classes[1].pictures, 12);
}

TEST(Record, ALossThatIsNotFiniteStaysReadable) {
  const std::string line = ToJson(Iteration(8, std::numeric_limits<double>::quiet_NaN()));
  EXPECT_THAT(line, testing::HasSubstr("\"loss\":null"));
  History history;
  AddRecords(line, &history);
  ASSERT_EQ(history.iterations.size(), 1u);
  EXPECT_TRUE(std::isnan(history.iterations[0].loss));
}

TEST(History, AResumedRunsRecordsReplaceThoseAfterItsCheckpoint) {
  History history;
  AddRecords(ToJson(Iteration(10, 3)) + "\n" + ToJson(Evaluation(10, 0.2)) + "\n" +
                 ToJson(Iteration(20, 2)) + "\n" + ToJson(Iteration(30, 9)),
             &history);
  AddRecords(ToJson(Iteration(20, 1.5)) + "\n" + ToJson(Evaluation(20, 0.4)), &history);
  EXPECT_THAT(history.iterations,
              ElementsAre(Field(&IterationRecord::loss, 3), Field(&IterationRecord::loss, 1.5)));
  EXPECT_THAT(history.evaluations, ElementsAre(Field(&EvaluationRecord::iteration, 10),
                                               Field(&EvaluationRecord::iteration, 20)));
}

TEST(History, ARunThatBeginsAgainReplacesAllThatWasBefore) {
  RunRecord run;
  const std::string first =
      ToJson(run) + "\n" + ToJson(Iteration(10, 3)) + "\n" + ToJson(Iteration(20, 2));
  run.iteration = 10;
  History history;
  AddRecords(first, &history);
  AddRecords(ToJson(run), &history);
  EXPECT_THAT(history.iterations, ElementsAre(Field(&IterationRecord::iteration, 10)));
  EXPECT_EQ(history.runs.size(), 2u);
  run.iteration = 0;
  AddRecords(ToJson(run), &history);
  EXPECT_TRUE(history.iterations.empty());
  EXPECT_EQ(history.runs.size(), 1u);
}

TEST(History, SkipsLinesThatAreNotRecords) {
  const std::string whole = ToJson(Iteration(10, 3));
  for (size_t size = 0; size < whole.size(); ++size) {
    History history;
    AddRecords(whole + "\n" + whole.substr(0, size), &history);
    EXPECT_EQ(history.iterations.size(), 1u) << whole.substr(0, size);
  }
  History history;
  AddRecords("[]\n7\nnull\n{}\n{\"iteration\":1}\n{\"mode\":7,\"iteration\":[]}\n\n", &history);
  EXPECT_TRUE(history.iterations.empty());
}

TEST(History, IsReadFromAllOfAWorkDirsFilesInTheirOrder) {
  const std::string folder = EmptyTestFolder();
  ASSERT_TRUE(
      WriteFileAtomically(folder + "/20260102_000000.jsonl", ToJson(Iteration(20, 2))).ok());
  ASSERT_TRUE(WriteFileAtomically(folder + "/20260101_000000.jsonl",
                                  ToJson(Iteration(10, 3)) + "\n" + ToJson(Iteration(25, 9)))
                  .ok());
  ASSERT_TRUE(WriteFileAtomically(folder + "/20260103_000000.log", ToJson(Iteration(1, 1))).ok());
  const absl::StatusOr<History> history = ReadHistory(folder);
  ASSERT_TRUE(history.ok()) << history.status();
  EXPECT_THAT(history->iterations, ElementsAre(Field(&IterationRecord::iteration, 10),
                                               Field(&IterationRecord::iteration, 20)));
  EXPECT_EQ(ReadHistory("/no/such").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace finetune
