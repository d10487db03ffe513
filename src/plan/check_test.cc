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
const MemoryLimit kCgroup = {"the cgroup /job", int64_t{1} << 30, int64_t{8} << 30};

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

  // Returns the error, with its place, for four ranks that do not fit into a cgroup's memory.
  std::string Misfit(const std::string& batch) {
    const LoadedConfig loaded = Load(batch);
    return std::string(
        loaded.WithPlace(CheckFits(loaded, {4, 3 * kGibibyte, 256}, kCgroup)).message());
  }

  const std::string path_ = EmptyTestFolder() + "/checked.pbtxt";
};

TEST_F(CheckTest, RanksOfAHostThatDoNotFitAreAnErrorOfTheBatchSizeWithTheLimit) {
  const std::string found =
      "4 ranks on a host, with passes of 256 images, need 12288 MiB, and the cgroup /job has 8192 "
      "MiB; set data.train.micro_batch_size to fewer images than 256, or start at most 2 on a host "
      "(--ranks_per_host=2), or say what the job's hosts have by --host_memory";
  EXPECT_EQ(Misfit("batch_size: 256"), absl::StrCat(path_, ":3:1: data.train.batch_size: ", found));
  EXPECT_EQ(Misfit("total_batch_size: 256"),
            absl::StrCat(path_, ":3:1: data.train.total_batch_size: ", found));
  EXPECT_EQ(Misfit("batch_size: 512 micro_batch_size: 256"),
            absl::StrCat(path_, ":3:17: data.train.micro_batch_size: ", found));
}

TEST_F(CheckTest, RanksThatFitAreFineWhateverIsFreeNow) {
  EXPECT_TRUE(CheckFits(Load("batch_size: 4"), {2, 4 * kGibibyte, 4}, kCgroup).ok());
}

TEST_F(CheckTest, ARankThatDoesNotFitAloneIsNotToldToStartFewer) {
  const absl::Status status = CheckFits(Load("batch_size: 1"), {1, 9 * kGibibyte, 1}, kCgroup);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("1 rank on a host, with passes of 1 image, needs 9216 MiB, and the cgroup "
                        "/job has 8192 MiB; say what the job's hosts have by --host_memory"));
}

TEST_F(CheckTest, MemoryOfADeviceThatTheRunDoesNotUseIsRefused) {
  LoadedConfig loaded = Load("batch_size: 4");
  loaded.config.mutable_runtime()->set_device(RuntimeConfig::CPU);
  EXPECT_THAT(std::string(CheckRun(loaded, {.gpu_memory = 1}).status().message()),
              StartsWith("--gpu_memory: found runtime.device: CPU"));
  loaded.config.mutable_runtime()->set_device(RuntimeConfig::CUDA);
  EXPECT_THAT(std::string(CheckRun(loaded, {.host_memory = 1}).status().message()),
              StartsWith("--host_memory: found a run on GPUs"));
}

TEST(HostMemoryTest, AHostHasNoMoreRanksThanTheRun) {
  EXPECT_EQ(RanksOnHost(64, 8), 8);
  EXPECT_EQ(RanksOnHost(3, 8), 3);
}

TEST(HostMemoryTest, WhatTheUserStatesTakesThePlaceOfThisHost) {
  const auto limit = SmallestLimit(1000);
  ASSERT_TRUE(limit.has_value());
  EXPECT_EQ(limit->total_bytes, 1000);
  EXPECT_EQ(limit->name, "a host by --host_memory");
}

TEST_F(CheckTest, DataThatAreNotThereAreAnErrorWithTheirPlace) {
  const absl::Status status = CheckRun(Load("batch_size: 4"), {}).status();
  EXPECT_TRUE(absl::IsNotFound(status) || absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(StartsWith(absl::StrCat(path_, ":2:16: data.train: ")), HasSubstr("nowhere")));
}

// The 8 ranks exist only as a number: the test runs in one process.
TEST_F(CheckTest, ABatchThatIsTooSmallForTheRanksIsAnError) {
  const absl::Status status = CheckRun(Load("total_batch_size: 4"), {.ranks = 8}).status();
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("data.train.total_batch_size: is 4 and there are 8 ranks"));
}

}  // namespace
}  // namespace finetune
