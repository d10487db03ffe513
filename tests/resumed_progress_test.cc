// Tests that after a resume every rank knows the progress of the run. Runs under mpirun.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "src/base/status_macros.h"
#include "src/checkpoint/reader.h"
#include "src/checkpoint/writer.h"
#include "src/comm/create_communicator.h"
#include "src/train/snapshot.h"
#include "src/train/start_run.h"
#include "tests/mpi_main.h"
#include "tests/small_run.h"

namespace finetune {
namespace {

class ResumedProgressTest : public testing::Test {
 protected:
  void SetUp() override {
    auto comm = CreateCommunicator(TestSession(), CommConfig(), RuntimeConfig::CPU, {});
    ASSERT_TRUE(comm.ok()) << comm.status();
    comm_ = *std::move(comm);
    ASSERT_GT(comm_->size(), 1);
    // An epoch has 3 iterations.
    folder_ = MakeSharedSmallRun({.images = 40, .batch = 16, .epochs = 4}, comm_.get());
    TrainSmallRun(folder_, "run", {}, comm_.get(), {.iterations = 3, .resume = ""});
  }
  void TearDown() override { ASSERT_TRUE(comm_->Barrier().ok()); }

  std::string Latest() const { return folder_ + "/run/latest.pth"; }

  // Resumes a run into `work_dir`. Returns the progress that this rank knows of.
  absl::StatusOr<Progress> Resume(const std::string& work_dir, const std::string& resume,
                                  const std::vector<std::string>& settings = {}) {
    FT_ASSIGN_OR_RETURN(const LoadedConfig loaded, LoadSmallRun(folder_, settings));
    TrainOptions options;
    options.work_dir = absl::StrCat(folder_, "/", work_dir);
    options.resume = resume;
    FT_ASSIGN_OR_RETURN(const std::unique_ptr<StartedRun> run,
                        StartRun(loaded, options, comm_.get()));
    return run->progress;
  }

  std::unique_ptr<Communicator> comm_;
  std::string folder_;
};

TEST_F(ResumedProgressTest, EveryRankKnowsTheBestAccuracy) {
  const absl::StatusOr<Value> saved = ReadTorchFile(Latest(), {"meta"});
  ASSERT_TRUE(saved.ok()) << saved.status();
  const Value meta = *saved->Get("meta");
  // The run has validated once.
  ASSERT_GE(*meta.GetDouble("best_accuracy"), 0);
  ASSERT_EQ(*meta.GetInt("best_iteration"), 3);

  const absl::StatusOr<Progress> progress = Resume("run", "auto");
  ASSERT_TRUE(progress.ok()) << progress.status();
  EXPECT_EQ(progress->best, (std::vector<BestValidation>{{*meta.GetDouble("best_accuracy"), 3}}));
  EXPECT_EQ(progress->iteration, 3);
  EXPECT_FALSE(progress->validation_due);
}

TEST_F(ResumedProgressTest, EveryRankKnowsWhatValidationsHaveDecided) {
  const std::vector<std::string> settings = {"schedule.early_stopping={patience: 5 min_delta: 1}",
                                             "schedule.plateau={metric: TOP1 patience: 0 cooldown: "
                                             "4 threshold: 1 threshold_mode: ABSOLUTE}",
                                             "runtime.checkpoint.keep_best=3"};
  TrainSmallRun(folder_, "decided", settings, comm_.get(), {.iterations = 6, .resume = ""});
  const absl::StatusOr<Progress> progress = Resume("decided", "auto", settings);
  ASSERT_TRUE(progress.ok()) << progress.status();
  EXPECT_EQ(progress->early_stopping.best_iteration, 3);
  EXPECT_EQ(progress->early_stopping.without, 1);
  ASSERT_TRUE(progress->early_stopping.best.has_value());
  EXPECT_EQ(progress->plateau.best, progress->early_stopping.best);
  EXPECT_EQ(progress->plateau.without, 0);
  EXPECT_EQ(progress->plateau.cooldown, 4);
  EXPECT_EQ(progress->plateau.reductions, 1);
  EXPECT_EQ(progress->best.size(), 2u);
}

// The best checkpoint stays in the first work_dir. So in another work_dir the next validation
// counts as the best.
TEST_F(ResumedProgressTest, EveryRankKnowsThatTheBestBeginsAnew) {
  const absl::StatusOr<Progress> progress = Resume("other", Latest());
  ASSERT_TRUE(progress.ok()) << progress.status();
  EXPECT_TRUE(progress->best.empty());
  EXPECT_EQ(progress->iteration, 3);
}

TEST_F(ResumedProgressTest, AProgressThatCannotBeIsRefusedOnEveryRank) {
  const std::string path = folder_ + "/changed.pth";
  for (const auto& [field, number] :
       {std::pair("iteration", int64_t{-1}), std::pair("best_iteration", int64_t{1} << 40)}) {
    if (comm_->rank() == 0) {
      Value::Dict root = *ReadTorchFile(Latest())->dict();
      Value::Dict meta = *root.entries().front().second.dict();
      for (auto& [key, value] : meta.entries()) {
        if (*key.string() == field) value = number;
      }
      root.entries().front().second = meta;
      ASSERT_TRUE(WriteTorchFile(path, root).ok());
    }
    ASSERT_TRUE(comm_->Barrier().ok());
    const absl::Status refused = Resume("other", path).status();
    EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
    EXPECT_NE(refused.message().find("the file was changed"), absl::string_view::npos) << refused;
  }
}

}  // namespace
}  // namespace finetune
