#include "src/comm/launch.h"

#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

absl::StatusOr<Launch> LaunchIn(const std::map<std::string, std::string>& environment) {
  return LaunchOf([&](const char* name) {
    auto it = environment.find(name);
    return it == environment.end() ? nullptr : it->second.c_str();
  });
}

TEST(LaunchTest, AProcessStartedByHandIsAlone) {
  EXPECT_EQ(*LaunchIn({}), Launch::kAlone);
  // Inside a batch script, and a step of one task.
  EXPECT_EQ(*LaunchIn({{"SLURM_NTASKS", "8"}, {"SLURM_PROCID", "0"}}), Launch::kAlone);
  EXPECT_EQ(*LaunchIn({{"SLURM_STEP_NUM_TASKS", "1"}}), Launch::kAlone);
}

TEST(LaunchTest, MpirunAndSrunWithAPluginMeanMpi) {
  EXPECT_EQ(*LaunchIn({{"OMPI_COMM_WORLD_SIZE", "1"}}), Launch::kMpi);
  EXPECT_EQ(*LaunchIn({{"PMIX_RANK", "0"}, {"SLURM_STEP_NUM_TASKS", "4"}}), Launch::kMpi);
  EXPECT_EQ(*LaunchIn({{"PMI_RANK", "0"}, {"SLURM_STEP_NUM_TASKS", "4"}}), Launch::kMpi);
}

TEST(LaunchTest, SeveralTasksWithoutMpiAreRefused) {
  auto launch = LaunchIn({{"SLURM_STEP_NUM_TASKS", "4"}});
  EXPECT_EQ(launch.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(launch.status().message()),
              testing::HasSubstr("srun started 4 tasks without MPI"));
  EXPECT_THAT(std::string(launch.status().message()), testing::HasSubstr("--mpi=pmix"));
}

}  // namespace
}  // namespace finetune
