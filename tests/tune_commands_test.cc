// Tests `finetune lr` and `finetune batch` as a user types them.

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "tests/job.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

class TuneCommandsTest : public TrainingTest {
 protected:
  void SetUp() override {
    TrainingTest::SetUp();
    WriteResNet();
  }

  // Runs `finetune COMMAND --config=... FLAGS` on this number of ranks.
  Outcome Command(int ranks, const std::string& command, const std::string& flags) {
    return Run(absl::StrCat("mpirun -np ", ranks, " --oversubscribe --bind-to none ", finetune_,
                            " ", command, " --config=", config(), " --set=runtime.threads=1 ",
                            flags));
  }

  // Returns the losses in a file of --output, by iteration.
  std::map<int64_t, double> CsvLosses(const std::string& name) {
    const std::string text = ReadFile(folder_ + "/" + name).value_or("");
    std::map<int64_t, double> losses;
    for (const std::string& line :
         std::vector<std::string>(absl::StrSplit(text, '\n', absl::SkipEmpty()))) {
      const std::vector<std::string> fields = absl::StrSplit(line, ',');
      int64_t iteration = 0;
      double loss = 0;
      if (fields.size() == 4 && absl::SimpleAtoi(fields[0], &iteration) &&
          absl::SimpleAtod(fields[2], &loss)) {
        losses[iteration] = loss;
      }
    }
    return losses;
  }
};

TEST_F(TuneCommandsTest, SuggestsARateAndWritesNothingElse) {
  const std::string file = folder_ + "/curve";
  const Outcome lr = Command(
      2, "lr",
      absl::StrCat("--set=optimizer.adamw.lr=1 --min=1e-4 --max=1 --smoothing=0.9",
                   " --output=", file, ".csv --output=", file, ".json --output=", file, ".svg"));
  EXPECT_EQ(lr.exit_code, 0) << lr.output;
  EXPECT_THAT(lr.output,
              AllOf(HasSubstr("16 images an iteration on 2 ranks"), ContainsRegex("\nended at "),
                    ContainsRegex("\n  --set=optimizer.adamw.lr=[0-9.]+\nor ")));
  // The config takes the suggested line.
  const auto json = nlohmann::json::parse(*ReadFile(file + ".json"));
  const Outcome used = Run(absl::StrCat(finetune_, " config --config=", config(), " ",
                                        json["suggestion"]["set"].get<std::string>()));
  EXPECT_EQ(used.exit_code, 0) << used.output;
  EXPECT_THAT(CsvLosses("curve.csv"), SizeIs(json["points"].size()));
  EXPECT_THAT(*ReadFile(file + ".svg"), HasSubstr("</svg>"));
  EXPECT_FALSE(fs::exists("work_dirs"));
}

// With a range that hardly rises, the test is a run with a constant learning rate.
TEST_F(TuneCommandsTest, TheCurveIsThatOfARun) {
  const Outcome lr = Command(
      2, "lr",
      absl::StrCat("--min=0.05 --max=0.05000001 --iterations=10 --output=", folder_, "/curve.csv"));
  const std::map<int64_t, double> curve = CsvLosses("curve.csv");
  ASSERT_THAT(curve, SizeIs(10)) << lr.output;
  TrainToEnd(2, "run", "--max_iterations=10 --set=schedule.constant={}");
  const std::map<int64_t, double> run = Losses("run");
  for (const auto& [iteration, loss] : curve) {
    EXPECT_NEAR(loss, run.at(iteration), 1e-3 * loss) << iteration;
  }
  EXPECT_NEAR(curve.at(1), run.at(1), 1e-6);
}

TEST_F(TuneCommandsTest, ARangeThatDivergesAtOnceHasACurveAndNoSuggestion) {
  const Outcome lr =
      Command(2, "lr", absl::StrCat("--min=1e5 --max=1e6 --output=", folder_, "/curve.json"));
  EXPECT_EQ(lr.exit_code, 1) << lr.output;
  EXPECT_THAT(lr.output, AllOf(HasSubstr("\nended at lr "), HasSubstr("\nno suggestion: found "),
                               HasSubstr("smaller --min than 1e+05"), Not(HasSubstr("--set"))));
  EXPECT_EQ(nlohmann::json::parse(*ReadFile(folder_ + "/curve.json"))["suggestion"], nullptr);
}

TEST_F(TuneCommandsTest, RefusesWrongFlagsBeforeAnyWork) {
  const auto refusal = [&](const std::string& command) {
    const Outcome refused = Run(absl::StrCat(finetune_, " ", command, " --config=", config()));
    EXPECT_EQ(refused.exit_code, 2) << refused.output;
    return refused.output;
  };
  EXPECT_EQ(refusal("lr --min=1 --max=0.1"),
            "--max: found 0.1 and --min=1; expected a --max above --min\n");
  EXPECT_EQ(refusal("lr --min=0"), "--min: expected a number from 1e-20 to 1e+06, got 0\n");
  EXPECT_THAT(refusal("lr --min=nan"), HasSubstr("got nan"));
  EXPECT_EQ(refusal("lr --iterations=9"),
            "--iterations: expected a whole number of 10 or more, got 9\n");
  EXPECT_THAT(refusal("lr --output=curve.png"), HasSubstr("ends in .csv, .json or .svg"));
  EXPECT_THAT(refusal("lr --output=/nowhere/curve.csv"),
              HasSubstr("--output: found /nowhere/curve.csv, whose folder /nowhere is not there"));
  EXPECT_THAT(refusal("lr --resume=auto"), HasSubstr("--resume: no such flag here"));
  EXPECT_EQ(refusal("batch --from=9 --to=8"),
            "--to: found 8 and --from=9; expected a --to of --from or more\n");
  EXPECT_THAT(refusal("batch --from=0"), HasSubstr("--from: expected a whole number"));
}

TEST_F(TuneCommandsTest, FindsTheMicroBatchOnTwoRanks) {
  const Outcome batch = Command(2, "batch", "--from=2 --to=32 --iterations=2");
  EXPECT_EQ(batch.exit_code, 0) << batch.output;
  EXPECT_THAT(batch.output,
              AllOf(HasSubstr("16 images an iteration on 2 ranks, up to 8 of a rank\n"),
                    ContainsRegex("\n +4 +16 +2 +[0-9.]+ s +[0-9.]+ +[0-9]+ MiB\n"),
                    ContainsRegex("\n +32 +64 +1 +[0-9.]+ s +[0-9.]+ +[0-9]+ MiB\n"),
                    HasSubstr("\nfastest with 16 images an iteration: a micro-batch of "),
                    HasSubstr("  --set=data.train.total_batch_size=16 "
                              "--set=data.train.micro_batch_size="),
                    HasSubstr("\nlargest that was tried: a micro-batch of 32\n"
                              "  --set=data.train.batch_size=32 makes that 64 images")));
  EXPECT_FALSE(fs::exists("work_dirs"));
}

TEST_F(TuneCommandsTest, NamesTheFieldOfAConfigThatIsWrong) {
  const Outcome wrong = Command(2, "batch", "--set=model.head.num_classes=7");
  EXPECT_EQ(wrong.exit_code, 2) << wrong.output;
  EXPECT_THAT(wrong.output, HasSubstr("--set=model.head.num_classes=7: model.head.num_classes"));
}

}  // namespace
}  // namespace finetune
