#include "src/host/launch_environment.h"

#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using testing::HasSubstr;

Launch LaunchIn(const std::map<std::string, std::string>& environment) {
  return ReadLaunch([&](const char* name) {
    auto it = environment.find(name);
    return it == environment.end() ? nullptr : it->second.c_str();
  });
}

void ExpectLaunch(const Launch& launch, Launcher launcher, int rank, int size, int local_size) {
  EXPECT_EQ(launch.launcher, launcher);
  EXPECT_EQ(launch.rank, rank);
  EXPECT_EQ(launch.size, size);
  EXPECT_EQ(launch.local_size, local_size);
}

TEST(ReadLaunchTest, TakesAProcessWithoutLauncherForTheOnlyRank) {
  ExpectLaunch(LaunchIn({}), Launcher::kNone, 0, 1, 1);
  // The first environment is that of a batch script, the second that of a step with one task.
  ExpectLaunch(LaunchIn({{"SLURM_NTASKS", "8"}, {"SLURM_PROCID", "0"}}), Launcher::kNone, 0, 1, 1);
  ExpectLaunch(LaunchIn({{"SLURM_STEP_NUM_TASKS", "1"}}), Launcher::kNone, 0, 1, 1);
}

// These variables were printed by a rank under Open MPI 4.1.4 and 5.0.11.
TEST(ReadLaunchTest, KnowsARankOfOpenMpi) {
  ExpectLaunch(LaunchIn({{"OMPI_COMM_WORLD_RANK", "3"},
                         {"OMPI_COMM_WORLD_SIZE", "4"},
                         {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                         {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                         {"PMIX_RANK", "3"},
                         {"PMIX_NAMESPACE", "prterun-vm-11027@1"}}),
               Launcher::kOpenMpi, 3, 4, 2);
}

// These variables were printed by a rank under MPICH 5.0.2.
TEST(ReadLaunchTest, KnowsARankOfMpich) {
  ExpectLaunch(LaunchIn({{"PMI_RANK", "3"},
                         {"PMI_SIZE", "4"},
                         {"PMI_FD", "11"},
                         {"MPI_LOCALRANKID", "1"},
                         {"MPI_LOCALNRANKS", "2"}}),
               Launcher::kPmi, 3, 4, 2);
}

TEST(ReadLaunchTest, KnowsATaskOfSrun) {
  const std::map<std::string, std::string> step = {{"SLURM_STEP_NUM_TASKS", "4"},
                                                   {"SLURM_PROCID", "3"}};
  ExpectLaunch(LaunchIn(step), Launcher::kSrunOnly, 3, 4, 0);
  auto pmix = step;
  pmix["PMIX_RANK"] = "3";
  ExpectLaunch(LaunchIn(pmix), Launcher::kPmix, 3, 4, 0);
  auto pmi2 = step;
  pmi2["PMI_RANK"] = "3";
  pmi2["PMI_SIZE"] = "4";
  ExpectLaunch(LaunchIn(pmi2), Launcher::kPmi, 3, 4, 0);
}

TEST(ReadLaunchTest, BelievesMpirunBeforeTheStepOfSlurmThatItRunsIn) {
  // mpirun's daemons are a step of two tasks, one a node. Each daemon has two ranks.
  ExpectLaunch(LaunchIn({{"SLURM_STEP_NUM_TASKS", "2"},
                         {"SLURM_PROCID", "1"},
                         {"OMPI_COMM_WORLD_RANK", "2"},
                         {"OMPI_COMM_WORLD_SIZE", "4"},
                         {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}}),
               Launcher::kOpenMpi, 2, 4, 2);
}

TEST(ReadLaunchTest, IgnoresValuesThatAreNotNumbers) {
  ExpectLaunch(LaunchIn({{"OMPI_COMM_WORLD_RANK", ""}, {"PMI_RANK", "-1"}}), Launcher::kNone, 0, 1,
               1);
  ExpectLaunch(LaunchIn({{"PMI_RANK", "1"}, {"PMI_SIZE", "two"}}), Launcher::kPmi, 1, 0, 0);
}

TEST(CheckLaunchTest, RefusesSeveralTasksWithoutMpi) {
  const absl::Status status = CheckLaunch(LaunchIn({{"SLURM_STEP_NUM_TASKS", "4"}}));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("srun started 4 tasks without MPI"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("--mpi=pmix"));
  EXPECT_TRUE(CheckLaunch(LaunchIn({})).ok());
  EXPECT_TRUE(CheckLaunch({Launcher::kPmix, 0, 4, 0}).ok());
}

TEST(CheckWorldTest, RefusesAWorldThatIsNotTheLaunchers) {
  const absl::Status status = CheckWorld({Launcher::kPmi, 0, 4, 4}, 1, "Open MPI v4.1.4");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("an MPICH's mpiexec (PMI) started 4 ranks, but MPI in this program (Open "
                        "MPI v4.1.4) has a world of 1"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("FINETUNE_MPI"));
  EXPECT_TRUE(CheckWorld({Launcher::kPmi, 0, 4, 4}, 4, "").ok());
  EXPECT_TRUE(CheckWorld({Launcher::kPmix, 0, 0, 0}, 4, "").ok());
}

}  // namespace
}  // namespace finetune
