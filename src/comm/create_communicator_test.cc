// Runs under mpirun with any number of ranks.
#include "src/comm/create_communicator.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/mpi_main.h"

namespace finetune {
namespace {

using testing::HasSubstr;

std::string ErrorOf(CommConfig::Backend backend, bool cuda) {
  CommConfig config;
  config.set_backend(backend);
  return std::string(CreateCommunicator(TestSession(), config, cuda, {}).status().message());
}

TEST(CreateCommunicatorTest, TheCpuHasOneForAnyNumberOfRanks) {
  for (CommConfig::Backend backend : {CommConfig::AUTO, CommConfig::MPI}) {
    CommConfig config;
    config.set_backend(backend);
    auto comm = CreateCommunicator(TestSession(), config, /*cuda=*/false, {});
    ASSERT_TRUE(comm.ok()) << comm.status();
    EXPECT_EQ((*comm)->device(), -1);
    std::vector<double> one = {1.0};
    ASSERT_TRUE((*comm)->AllReduceSum(absl::MakeSpan(one)).ok());
    EXPECT_EQ(one[0], (*comm)->size());
    EXPECT_EQ((*comm)->AllGather("x")->size(), one[0]);
  }
}

TEST(CreateCommunicatorTest, ABackendThatDoesNotGoWithTheDeviceIsRefused) {
  EXPECT_THAT(ErrorOf(CommConfig::NCCL, /*cuda=*/false),
              HasSubstr("comm.backend: NCCL works on GPUs"));
  EXPECT_THAT(ErrorOf(CommConfig::MPI, /*cuda=*/true),
              HasSubstr("comm.backend: MPI works on the CPU's memory"));
}

// Every rank says so, and none waits for another.
TEST(CreateCommunicatorTest, WithoutGpusNcclIsAClearError) {
#ifdef FINETUNE_CUDA
  EXPECT_THAT(ErrorOf(CommConfig::NCCL, /*cuda=*/true),
              testing::AnyOf("", HasSubstr("0 GPUs"), HasSubstr("CUDA: ")));
#else
  EXPECT_THAT(ErrorOf(CommConfig::NCCL, /*cuda=*/true), HasSubstr("built without CUDA"));
#endif
}

}  // namespace
}  // namespace finetune
