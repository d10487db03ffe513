#include "src/plan/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"

namespace finetune {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr double kGibibyte = 1 << 30;

class CheckTest : public testing::Test {
 protected:
  LoadedConfig Load(const std::string& batch) {
    EXPECT_TRUE(
        WriteFileAtomically(
            path_, absl::StrCat("model { backbone { lenet5 {} } neck { kind: NONE } head { "
                                "num_classes: 10 } }\n"
                                "data { train { path: \"nowhere\" split: \"train\"\n",
                                batch,
                                "\n"
                                "  pipeline { resize { size: 32 } } pipeline { normalize {} } } }\n"
                                "optimizer { sgd { lr: 0.1 } }\n"
                                "schedule { max_epochs: 2 constant {} }\n"))
            .ok());
    absl::StatusOr<LoadedConfig> loaded = LoadConfig(path_, {});
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return *loaded;
  }

  // Returns the error, with its place, for a rank that does not fit into memory.
  std::string Misfit(const std::string& batch) {
    const LoadedConfig loaded = Load(batch);
    return std::string(
        loaded.WithPlace(CheckFits(loaded, 3 * kGibibyte, 2 * kGibibyte, 256)).message());
  }

  const std::string path_ = EmptyTestFolder() + "/checked.pbtxt";
};

TEST_F(CheckTest, ARankThatDoesNotFitIsAnErrorOfTheBatchSize) {
  const std::string found =
      "a rank with passes of 256 images needs 3072 MiB, and this host has 2048 MiB; set "
      "data.train.micro_batch_size to fewer images than 256";
  EXPECT_EQ(Misfit("batch_size: 256"), absl::StrCat(path_, ":3:1: data.train.batch_size: ", found));
  EXPECT_EQ(Misfit("total_batch_size: 256"),
            absl::StrCat(path_, ":3:1: data.train.total_batch_size: ", found));
  EXPECT_EQ(Misfit("batch_size: 512 micro_batch_size: 256"),
            absl::StrCat(path_, ":3:17: data.train.micro_batch_size: ", found));
}

TEST_F(CheckTest, ARankThatFitsIsFine) {
  EXPECT_TRUE(CheckFits(Load("batch_size: 4"), kGibibyte, kGibibyte, 4).ok());
}

TEST_F(CheckTest, DataThatAreNotThereAreAnErrorWithTheirPlace) {
  const absl::Status status = CheckRun(Load("batch_size: 4"), 1).status();
  EXPECT_TRUE(absl::IsNotFound(status) || absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(StartsWith(absl::StrCat(path_, ":2:16: data.train: ")), HasSubstr("nowhere")));
}

// The 8 ranks exist only as a number: the test runs in one process.
TEST_F(CheckTest, ABatchThatIsTooSmallForTheRanksIsAnError) {
  const absl::Status status = CheckRun(Load("total_batch_size: 4"), 8).status();
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("data.train.total_batch_size: is 4 and there are 8 ranks"));
}

}  // namespace
}  // namespace finetune
