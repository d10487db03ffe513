#include "src/observe/record.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/base/version.h"

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
  EXPECT_TRUE(
      AddRecords(ToJson(record) + "\n" + ToJson(Evaluation(8, 0.75)) + "\n", &history).ok());
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
  run.class_names = {"cat", "d\xf6g"};  // Latin-1, which is not valid UTF-8
  EvaluationRecord evaluation = Evaluation(100, 0.5);
  evaluation.classes = {{10, 9, 7}, {12, 13, 0}};
  evaluation.has_guessed = true;
  evaluation.confusion = {7, 3, 2, 10};
  evaluation.damaged = 2;
  History history;
  EXPECT_TRUE(AddRecords(ToJson(run) + "\n" + ToJson(evaluation), &history).ok());
  ASSERT_EQ(history.runs.size(), 1u);
  EXPECT_EQ(history.runs[0].writer, kFinetuneWriter);
  EXPECT_EQ(history.runs[0].name, run.name);
  EXPECT_EQ(history.runs[0].host, "node7");
  EXPECT_EQ(history.runs[0].ranks, 8);
  EXPECT_EQ(history.runs[0].iteration, 96);
  EXPECT_EQ(history.runs[0].began_unix_s, 1795000000.5);
  EXPECT_THAT(history.runs[0].class_names, ElementsAre("cat", "d\xef\xbf\xbdg"));
  ASSERT_EQ(history.evaluations.size(), 1u);
  ASSERT_EQ(history.evaluations[0].classes.size(), 2u);
  EXPECT_EQ(history.evaluations[0].classes[0].correct, 7);
  EXPECT_EQ(history.evaluations[0].classes[1].support, 12);
  EXPECT_TRUE(history.evaluations[0].has_guessed);
  EXPECT_EQ(history.evaluations[0].classes[1].guessed, 13);
  EXPECT_THAT(history.evaluations[0].confusion, ElementsAre(7, 3, 2, 10));
  EXPECT_EQ(history.evaluations[0].damaged, 2);
}

TEST(Record, OfVeryManyClassesLeavesOutHowOftenEachWasGuessed) {
  EvaluationRecord evaluation = Evaluation(100, 0.5);
  evaluation.classes.assign(kMostGuessedClasses + 1, {10, 9, 7});
  evaluation.has_guessed = true;
  History history;
  AddRecords(ToJson(evaluation), &history);
  ASSERT_EQ(history.evaluations.size(), 1u);
  EXPECT_EQ(history.evaluations[0].classes.size(), kMostGuessedClasses + 1);
  EXPECT_EQ(history.evaluations[0].classes[0].correct, 7);
  EXPECT_FALSE(history.evaluations[0].has_guessed);
}

TEST(Record, WhoseConfusionIsNotSquareKeepsItsOtherFields) {
  for (const char* confusion : {"[[1,2]]", "[[1,2],[3]]", "[[1,2],[3,\"x\"]]", "7", "[1,2]"}) {
    History history;
    AddRecords(absl::StrCat(R"({"mode":"val","iteration":4,"loss":0.5,"classes":)",
                            R"({"pictures":[3,4],"correct":[1,2],"guessed":[1]},"confusion":)",
                            confusion, "}"),
               &history);
    ASSERT_EQ(history.evaluations.size(), 1u) << confusion;
    EXPECT_EQ(history.evaluations[0].classes.size(), 2u);
    EXPECT_FALSE(history.evaluations[0].has_guessed);
    EXPECT_TRUE(history.evaluations[0].confusion.empty()) << confusion;
  }
}

TEST(Record, ALossThatIsNotFiniteStaysReadable) {
  const std::string line = ToJson(Iteration(8, std::numeric_limits<double>::quiet_NaN()));
  EXPECT_THAT(line, testing::HasSubstr("\"loss\":null"));
  History history;
  EXPECT_TRUE(AddRecords(line, &history).ok());
  ASSERT_EQ(history.iterations.size(), 1u);
  EXPECT_TRUE(std::isnan(history.iterations[0].loss));
}

TEST(History, AResumedRunsRecordsReplaceThoseAfterItsCheckpoint) {
  History history;
  EXPECT_TRUE(AddRecords(ToJson(Iteration(10, 3)) + "\n" + ToJson(Evaluation(10, 0.2)) + "\n" +
                             ToJson(Iteration(20, 2)) + "\n" + ToJson(Iteration(30, 9)),
                         &history)
                  .ok());
  EXPECT_TRUE(
      AddRecords(ToJson(Iteration(20, 1.5)) + "\n" + ToJson(Evaluation(20, 0.4)), &history).ok());
  EXPECT_THAT(history.iterations,
              ElementsAre(Field(&IterationRecord::loss, 3), Field(&IterationRecord::loss, 1.5)));
  EXPECT_THAT(history.evaluations, ElementsAre(Field(&EvaluationRecord::iteration, 10),
                                               Field(&EvaluationRecord::iteration, 20)));
}

TEST(History, ARunThatGoesOnHasNotEnded) {
  RunRecord run;
  run.iteration = 20;
  History history;
  ASSERT_TRUE(
      AddRecords(ToJson(Iteration(20, 2)) + "\n" + ToJson(EndRecord{20, "stopped \"early\""}),
                 &history)
          .ok());
  ASSERT_EQ(history.ends.size(), 1u);
  EXPECT_EQ(history.ends[0].iteration, 20);
  EXPECT_EQ(history.ends[0].reason, "stopped \"early\"");
  ASSERT_TRUE(AddRecords(ToJson(run) + "\n" + ToJson(Iteration(21, 1)), &history).ok());
  EXPECT_TRUE(history.ends.empty());
}

TEST(History, ARunThatBeginsAgainReplacesAllThatWasBefore) {
  RunRecord run;
  const std::string first =
      ToJson(run) + "\n" + ToJson(Iteration(10, 3)) + "\n" + ToJson(Iteration(20, 2));
  run.iteration = 10;
  History history;
  EXPECT_TRUE(AddRecords(first, &history).ok());
  EXPECT_TRUE(AddRecords(ToJson(run), &history).ok());
  EXPECT_THAT(history.iterations, ElementsAre(Field(&IterationRecord::iteration, 10)));
  EXPECT_EQ(history.runs.size(), 2u);
  run.iteration = 0;
  EXPECT_TRUE(AddRecords(ToJson(run), &history).ok());
  EXPECT_TRUE(history.iterations.empty());
  EXPECT_EQ(history.runs.size(), 1u);
}

TEST(History, ReadsRecordsOfBeforeFormatsHadNumbers) {
  History history;
  EXPECT_TRUE(AddRecords("{\"mode\":\"run\",\"name\":\"old\",\"iteration\":0}", &history).ok());
  ASSERT_EQ(history.runs.size(), 1u);
  EXPECT_EQ(history.runs[0].name, "old");
  EXPECT_EQ(history.runs[0].writer, "");
}

TEST(History, RefusesRecordsOfANewerFormatByName) {
  const std::string folder = EmptyTestFolder();
  ASSERT_TRUE(WriteFileAtomically(folder + "/1.jsonl", ToJson(Iteration(10, 3))).ok());
  ASSERT_TRUE(WriteFileAtomically(folder + "/2.jsonl",
                                  "{\"mode\":\"run\",\"iteration\":10,\"format_version\":2,"
                                  "\"writer\":\"finetune 9.8.7\"}")
                  .ok());
  EXPECT_EQ(ReadHistory(folder).status(),
            absl::InvalidArgumentError(absl::StrCat(
                folder, "/2.jsonl: format_version: is 2, written by finetune 9.8.7; ",
                kFinetuneWriter, " reads formats up to 1: use finetune 9.8.7 or a newer one")));
}

TEST(History, PassesOverLinesThatAreNoRecords) {
  const std::string whole = ToJson(Iteration(10, 3));
  for (size_t size = 0; size < whole.size(); ++size) {
    History history;
    EXPECT_TRUE(AddRecords(whole + "\n" + whole.substr(0, size), &history).ok());
    EXPECT_EQ(history.iterations.size(), 1u) << whole.substr(0, size);
  }
  History history;
  EXPECT_TRUE(
      AddRecords("[]\n7\nnull\n{}\n{\"iteration\":1}\n{\"mode\":7,\"iteration\":[]}\n\n", &history)
          .ok());
  EXPECT_TRUE(history.iterations.empty());
}

TEST(History, TakesNumbersThatNoCountHasForMissing) {
  History history;
  ASSERT_TRUE(AddRecords(R"({"mode":"run","iteration":9223372036854775807,"ranks":-1e300}
{"mode":"train","iteration":3,"epoch":1e300,"averaged":18446744073709551615}
{"mode":"val","iteration":3,"classes":{"pictures":[1e19],"correct":[1]},"confusion":[[1e19]]})",
                         &history)
                  .ok());
  ASSERT_EQ(history.runs.size(), 1u);
  EXPECT_EQ(history.runs[0].iteration, 0);
  EXPECT_EQ(history.runs[0].ranks, 1);
  ASSERT_EQ(history.iterations.size(), 1u);
  EXPECT_EQ(history.iterations[0].epoch, 0);
  EXPECT_EQ(history.iterations[0].averaged, 1);
  ASSERT_EQ(history.evaluations.size(), 1u);
  EXPECT_TRUE(history.evaluations[0].classes.empty());
  EXPECT_TRUE(history.evaluations[0].confusion.empty());
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
