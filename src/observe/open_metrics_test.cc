#include "src/observe/open_metrics.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

RunStatus Status() {
  RunStatus status;
  status.run.name = "flowers";
  status.run.host = "node7";
  status.run.ranks = 4;
  status.updated_unix_s = 1800000060.125;
  status.training.emplace();
  status.training->iteration = 20;
  status.training->total_iterations = 64;
  status.training->loss = 1.5;
  status.training->memory_mib = 2;
  status.best = {"top1", 0.9, 8};
  return status;
}

TEST(OpenMetrics, HasTheFiguresOfTheRun) {
  const std::string text = ToOpenMetrics(Status(), "/runs/a");
  const std::string labels = "{run=\"flowers\",work_dir=\"/runs/a\"";
  EXPECT_THAT(text, HasSubstr("\nfinetune_run" + labels + ",host=\"node7\",version=\""));
  EXPECT_THAT(text, HasSubstr("\nfinetune_state" + labels + ",state=\"RUNNING\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\nfinetune_state" + labels + ",state=\"FAILED\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("\nfinetune_iteration" + labels + "} 20\n"));
  EXPECT_THAT(text, HasSubstr("\nfinetune_iterations_planned" + labels + "} 64\n"));
  EXPECT_THAT(text, HasSubstr("\nfinetune_loss" + labels + "} 1.5\n"));
  EXPECT_THAT(text, HasSubstr("\nfinetune_memory_bytes" + labels + "} 2097152\n"));
  EXPECT_THAT(text,
              HasSubstr("\nfinetune_best_accuracy_ratio" + labels + ",metric=\"top1\"} 0.9\n"));
  EXPECT_THAT(text,
              HasSubstr("\nfinetune_updated_timestamp_seconds" + labels + "} 1800000060.125\n"));
}

TEST(OpenMetrics, TheBestLossIsNotAnAccuracy) {
  RunStatus status = Status();
  status.best = {"loss", 1.25, 8};
  const std::string text = ToOpenMetrics(status, "/runs/a");
  EXPECT_THAT(text, HasSubstr("\nfinetune_best_loss{run=\"flowers\",work_dir=\"/runs/a\"} 1.25\n"));
  EXPECT_THAT(text, Not(HasSubstr("finetune_best_accuracy_ratio")));
}

// By the first line finetune knows its own file; OpenMetrics demands the last line.
TEST(OpenMetrics, HasItsFirstAndLastLine) {
  const std::string text = ToOpenMetrics(RunStatus(), "/runs/a");
  EXPECT_TRUE(absl::StartsWith(text, absl::StrCat(kMetricsFirstLine, "\n"))) << text;
  EXPECT_THAT(text, EndsWith("\n# EOF\n"));
}

// node_exporter refuses a file if one metric has a type that the older format lacks, or if one
// sample has a timestamp.
TEST(OpenMetrics, IsAlsoTheOlderFormatOfPrometheus) {
  for (const absl::string_view line : absl::StrSplit(ToOpenMetrics(Status(), "/a b"), '\n')) {
    if (absl::StartsWith(line, "# TYPE ")) {
      EXPECT_TRUE(absl::EndsWith(line, " gauge")) << line;
    } else if (!line.empty() && !absl::StartsWith(line, "#")) {
      const std::vector<std::string> parts = absl::StrSplit(line, "} ");
      ASSERT_EQ(parts.size(), 2u) << line;
      EXPECT_THAT(parts[1], testing::Not(HasSubstr(" "))) << line;
    }
  }
}

TEST(OpenMetrics, WritesAnyNameAndAnyNumber) {
  RunStatus status = Status();
  status.run.name = "a\"b\\c\nd\xff";
  status.training->loss = NAN;
  status.training->eta_s = INFINITY;
  status.training->lr = 0.1 + 0.2;
  const std::string text = ToOpenMetrics(status, "/runs/a");
  const std::string labels = "{run=\"a\\\"b\\\\c\\nd\xEF\xBF\xBD\",work_dir=\"/runs/a\"} ";
  EXPECT_THAT(text, HasSubstr("finetune_loss" + labels + "NaN\n"));
  EXPECT_THAT(text, HasSubstr("finetune_eta_seconds" + labels + "+Inf\n"));
  EXPECT_THAT(text, HasSubstr("finetune_learning_rate" + labels + "0.30000000000000004\n"));
}

}  // namespace
}  // namespace finetune
