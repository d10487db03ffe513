// Runs under mpirun with any number of ranks.
#include "src/comm/create_communicator.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/host/gpus.h"
#include "src/host/launch_environment.h"
#include "tests/mpi_main.h"

namespace finetune {
namespace {

using testing::HasSubstr;

std::string ErrorOf(CommConfig::Backend backend, RuntimeConfig::Device device) {
  CommConfig config;
  config.set_backend(backend);
  return std::string(CreateCommunicator(TestSession(), config, device, {}).status().message());
}

TEST(CreateCommunicatorTest, TheCpuHasOneForAnyNumberOfRanks) {
  for (CommConfig::Backend backend : {CommConfig::AUTO, CommConfig::MPI}) {
    CommConfig config;
    config.set_backend(backend);
    auto comm = CreateCommunicator(TestSession(), config, RuntimeConfig::CPU, {});
    ASSERT_TRUE(comm.ok()) << comm.status();
    EXPECT_EQ((*comm)->device(), -1);
    std::vector<double> one = {1.0};
    ASSERT_TRUE((*comm)->AllReduceSum(absl::MakeSpan(one)).ok());
    EXPECT_EQ(one[0], (*comm)->size());
    EXPECT_EQ((*comm)->AllGather("x")->size(), one[0]);
  }
}

TEST(CreateCommunicatorTest, AutoIsTheDeviceThatIsThere) {
  auto comm = CreateCommunicator(TestSession(), {}, RuntimeConfig::AUTO, {});
  if (VisibleGpus().count == 0) {
    ASSERT_TRUE(comm.ok()) << comm.status();
    EXPECT_EQ((*comm)->device(), -1);
  } else if (comm.ok()) {
    EXPECT_EQ((*comm)->device(), (*comm)->local_rank());
  } else {
    EXPECT_THAT(comm.status().message(), HasSubstr("NCCL needs one each"));
  }
}

TEST(CreateCommunicatorTest, RanksThatDisagreeStillGetOneToSaySo) {
  const bool first = LaunchRank() == 0;
  auto comm =
      CreateCommunicator(TestSession(), {}, first ? RuntimeConfig::CPU : RuntimeConfig::CUDA, {});
  ASSERT_TRUE(comm.ok()) << comm.status();
  EXPECT_EQ((*comm)->device(), -1);
}

TEST(CreateCommunicatorTest, ABackendThatDoesNotGoWithTheDeviceIsRefused) {
  EXPECT_THAT(ErrorOf(CommConfig::NCCL, RuntimeConfig::CPU),
              HasSubstr("comm.backend: NCCL works on GPUs"));
}

// Every rank returns the error, so no rank hangs.
TEST(CreateCommunicatorTest, RefusesCudaWhereItIsNotThere) {
  const Gpus gpus = VisibleGpus();
  if (gpus.count > 0) {
    EXPECT_THAT(ErrorOf(CommConfig::MPI, RuntimeConfig::CUDA),
                HasSubstr("comm.backend: MPI works on the CPU's memory"));
    return;
  }
  EXPECT_EQ(ErrorOf(CommConfig::AUTO, RuntimeConfig::CUDA),
            "runtime.device: is CUDA, but " + gpus.why_none);
#ifdef FINETUNE_CUDA
  EXPECT_THAT(gpus.why_none, testing::AnyOf(HasSubstr("driver"), HasSubstr("no GPU")));
#else
  EXPECT_THAT(gpus.why_none, HasSubstr("built without CUDA"));
#endif
}

}  // namespace
}  // namespace finetune
