// Runs under mpirun with any number of ranks.
#include "src/comm/nccl/nccl_bootstrap.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/comm/mpi/mpi_communicator.h"
#include "tests/mpi_main.h"

namespace finetune {
namespace {

using testing::HasSubstr;

TEST(ChooseDeviceTest, EachRankHasAGpuOfItsOwn) {
  for (int rank = 0; rank < 8; ++rank) EXPECT_EQ(*ChooseDevice(rank, 8, 8, "n1"), rank);
  EXPECT_EQ(*ChooseDevice(1, 2, 8, "n1"), 1);
}

TEST(ChooseDeviceTest, MoreRanksThanGpusIsAnErrorWithTheArithmetic) {
  const absl::Status status = ChooseDevice(0, 8, 4, "n1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(
      std::string(status.message()),
      HasSubstr("host n1 has 8 ranks but 4 GPUs that they may see (8 > 4); NCCL needs one each"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("CUDA_VISIBLE_DEVICES"));
  EXPECT_THAT(std::string(ChooseDevice(0, 1, 0, "n2").status().message()),
              HasSubstr("1 rank but 0 GPUs"));
}

TEST(NcclAlgorithmTest, AllReducesRingUnlessTheConfigSaysOtherwise) {
  EXPECT_EQ(NcclAlgorithmVariable(CommConfig().nccl().algorithm()), "ring");
  EXPECT_EQ(NcclAlgorithmVariable(NcclConfig::TREE), "ring;allreduce:tree");
  EXPECT_EQ(NcclAlgorithmVariable(NcclConfig::NCCL_CHOICE), "");
}

enum class Answer { kDone, kFailed, kInProgress };

TEST(AwaitResultTest, DoesNotPollAFinishedCall) {
  const auto never = []() -> Answer {
    ADD_FAILURE();
    return Answer::kDone;
  };
  for (Answer code : {Answer::kDone, Answer::kFailed}) {
    EXPECT_EQ(*AwaitResult<Answer>(code, Answer::kInProgress, never, absl::Minutes(1), "x"), code);
  }
}

TEST(AwaitResultTest, WaitsForTheResult) {
  for (Answer end : {Answer::kDone, Answer::kFailed}) {
    int asked = 0;
    const auto ask = [&] { return ++asked < 3 ? Answer::kInProgress : end; };
    EXPECT_EQ(
        *AwaitResult<Answer>(Answer::kInProgress, Answer::kInProgress, ask, absl::Minutes(1), "x"),
        end);
    EXPECT_EQ(asked, 3);
  }
}

TEST(AwaitResultTest, GivesUpAfterTheTimeoutAndNamesIt) {
  const auto ask = [] { return Answer::kInProgress; };
  const absl::Status status = AwaitResult<Answer>(Answer::kInProgress, Answer::kInProgress, ask,
                                                  absl::Milliseconds(3), "ncclCommFinalize")
                                  .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(status.message(), "ncclCommFinalize has not ended for 3ms (comm.timeout_seconds)");
}

TEST(ShareUniqueIdTest, EveryRankHasTheIdOfRankZero) {
  auto host = MpiCommunicator::Create(TestSession(), CommConfig(), {});
  ASSERT_TRUE(host.ok()) << host.status();
  std::string made(128, '\0');
  for (int i = 0; i < 128; ++i) made[i] = static_cast<char>(2 * i);
  int calls = 0;
  auto id = ShareUniqueId(
      [&]() -> absl::StatusOr<std::string> {
        ++calls;
        return made;
      },
      **host);
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(*id, made);
  EXPECT_EQ(calls, (*host)->rank() == 0 ? 1 : 0);
}

TEST(ShareUniqueIdTest, AnErrorOfRankZeroIsEveryRanks) {
  auto host = MpiCommunicator::Create(TestSession(), CommConfig(), {});
  ASSERT_TRUE(host.ok()) << host.status();
  auto id = ShareUniqueId(
      []() -> absl::StatusOr<std::string> { return absl::InternalError("no driver"); }, **host);
  EXPECT_THAT(std::string(id.status().message()), HasSubstr("could not start NCCL: no driver"));
  EXPECT_THAT(std::string(id.status().message()), HasSubstr("rank 0 (host "));
}

}  // namespace
}  // namespace finetune
