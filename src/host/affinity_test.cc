#include "src/host/affinity.h"

#include <sched.h>

#include <map>
#include <optional>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<int> Cpus(int begin, int end) {
  std::vector<int> cpus;
  for (int cpu = begin; cpu < end; ++cpu) cpus.push_back(cpu);
  return cpus;
}

// Returns a host with `ranks` ranks, each of which may run on all of its `cpus` processors.
HostCpus Unbound(int ranks, int cpus) {
  HostCpus host;
  host.rank_cpus.assign(ranks, Cpus(0, cpus));
  host.launcher_cpus = Cpus(0, cpus);
  return host;
}

TEST(PlanCpusTest, OneRankTakesTheWholeHost) {
  const CpuPlan plan = *PlanCpus(Unbound(1, 8), 0, 0);
  EXPECT_EQ(plan.threads, 8);
  EXPECT_EQ(plan.cpus, Cpus(0, 8));
  EXPECT_THAT(plan.note, IsEmpty());
}

TEST(PlanCpusTest, RanksNeverShareACoreWhereThereAreEnough) {
  for (int ranks = 1; ranks <= 16; ++ranks) {
    for (int cpus = ranks; cpus <= 33; ++cpus) {
      std::set<int> taken;
      for (int rank = 0; rank < ranks; ++rank) {
        const CpuPlan plan = *PlanCpus(Unbound(ranks, cpus), rank, 0);
        EXPECT_EQ(plan.threads, std::ssize(plan.cpus));
        EXPECT_GE(plan.threads, cpus / ranks);
        for (int cpu : plan.cpus) {
          EXPECT_TRUE(taken.insert(cpu).second) << ranks << " ranks, " << cpus << " cpus";
        }
      }
      EXPECT_EQ(std::ssize(taken), cpus);
    }
  }
}

TEST(PlanCpusTest, MoreRanksThanCoresShareThemAllUnbound) {
  const CpuPlan plan = *PlanCpus(Unbound(8, 2), 5, 0);
  EXPECT_EQ(plan.threads, 1);
  EXPECT_THAT(plan.cpus, IsEmpty());
  EXPECT_THAT(plan.note, HasSubstr("8 ranks share 2 cores"));
}

TEST(PlanCpusTest, MpirunsDefaultBindingIsWidened) {
  // On a host of 16 cores, "mpirun -np 2" binds each rank to one core.
  HostCpus host;
  host.rank_cpus = {{0}, {1}};
  host.launcher_cpus = Cpus(0, 16);
  host.binding = Binding::kDefault;
  EXPECT_EQ(PlanCpus(host, 0, 0)->cpus, Cpus(0, 8));
  EXPECT_EQ(PlanCpus(host, 1, 0)->cpus, Cpus(8, 16));
  EXPECT_EQ(PlanCpus(host, 1, 0)->threads, 8);
  // With mpirun's binding the two requested threads would share one core.
  EXPECT_EQ(PlanCpus(host, 1, 2)->threads, 2);
}

TEST(PlanCpusTest, ABindingThatWasAskedForIsKept) {
  HostCpus host;
  host.rank_cpus = {{0, 1}, {2, 3}};
  host.launcher_cpus = Cpus(0, 16);
  EXPECT_EQ(PlanCpus(host, 1, 0)->cpus, Cpus(2, 4));
  EXPECT_EQ(PlanCpus(host, 1, 0)->threads, 2);
  const CpuPlan greedy = *PlanCpus(host, 1, 4);
  EXPECT_EQ(greedy.threads, 4);
  EXPECT_EQ(greedy.cpus, Cpus(2, 4));
  EXPECT_THAT(greedy.note, HasSubstr("runtime.threads: 4, but this rank has 2 processors (2,3)"));
  EXPECT_THAT(greedy.note, HasSubstr("PE=4"));
}

TEST(PlanCpusTest, WarnsOfABindingThatNobodyKnowsTheReasonOf) {
  HostCpus host;
  host.rank_cpus = {{0}};
  host.launcher_cpus = Cpus(0, 16);
  host.binding = Binding::kUnknown;
  const CpuPlan plan = *PlanCpus(host, 0, 0);
  EXPECT_EQ(plan.cpus, Cpus(0, 1));
  EXPECT_THAT(plan.note, HasSubstr("bound this rank to 1 of this host's 16 processors (0)"));
  EXPECT_THAT(plan.note, HasSubstr("--bind-to none"));
  host.rank_cpus = {Cpus(0, 8), Cpus(8, 16)};
  EXPECT_THAT(PlanCpus(host, 0, 0)->note, IsEmpty());
}

TEST(PlanCpusTest, ThreadsThatOnlyWaitForEachOtherAreRefused) {
  HostCpus host;
  host.rank_cpus = {{0, 1}};
  EXPECT_EQ(PlanCpus(host, 0, 32)->threads, 32);
  EXPECT_EQ(PlanCpus(host, 0, 33).status().message(),
            "is 33, but this rank has 2 processors; 0 takes one thread a core");
}

TEST(PlanCpusTest, RanksBoundToTheSameSocketDivideIt) {
  HostCpus host;
  host.rank_cpus = {Cpus(0, 4), Cpus(4, 8), Cpus(0, 4), Cpus(4, 8)};
  EXPECT_EQ(PlanCpus(host, 0, 0)->cpus, Cpus(0, 2));
  EXPECT_EQ(PlanCpus(host, 1, 0)->cpus, Cpus(4, 6));
  EXPECT_EQ(PlanCpus(host, 2, 0)->cpus, Cpus(2, 4));
  EXPECT_EQ(PlanCpus(host, 3, 0)->cpus, Cpus(6, 8));
}

TEST(PlanCpusTest, HyperthreadsOfACoreStayTogetherAndCountOnce) {
  // The host has four cores of two hyperthreads each: processors 0 and 4, 1 and 5, ...
  HostCpus host = Unbound(2, 8);
  host.core_of = {0, 1, 2, 3, 0, 1, 2, 3};
  EXPECT_THAT(PlanCpus(host, 0, 0)->cpus, ElementsAre(0, 1, 4, 5));
  EXPECT_THAT(PlanCpus(host, 1, 0)->cpus, ElementsAre(2, 3, 6, 7));
  EXPECT_EQ(PlanCpus(host, 0, 0)->threads, 2);
}

TEST(PlanCpusTest, AContainersQuotaLimitsTheThreads) {
  HostCpus host = Unbound(2, 64);
  host.quota = 8;
  EXPECT_EQ(PlanCpus(host, 0, 0)->threads, 4);
  host.quota = 0.5;
  EXPECT_EQ(PlanCpus(host, 0, 0)->threads, 1);
  EXPECT_EQ(PlanCpus(host, 0, 3)->threads, 3);
}

TEST(PlanCpusTest, NegativeThreadsAreRefused) {
  EXPECT_EQ(PlanCpus(Unbound(1, 1), 0, -1).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(PlanCpusTest, ThisProcessCanFollowItsPlan) {
  auto plan = PlanCpus(0, /*rank=*/0, {DescribeBinding()}, {"this host"});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_GE(plan->threads, 1);
  ASSERT_TRUE(BindThread(plan->cpus).ok());
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  EXPECT_EQ(CPU_COUNT(&set), std::ssize(plan->cpus));
  EXPECT_FALSE(BindThread({1023}).ok());
}

Binding BindingIn(const std::map<std::string, std::string>& environment,
                  const std::optional<LauncherProcess>& launcher = std::nullopt) {
  const auto get = [&](const char* name) {
    auto it = environment.find(name);
    return it == environment.end() ? nullptr : it->second.c_str();
  };
  return ReadBinding(get, launcher);
}

TEST(ReadBindingTest, KnowsOpenMpi4sDefault) {
  const std::string bound = "OMPI_MCA_orte_bound_at_launch";
  const std::string mapping = "OMPI_MCA_rmaps_base_mapping_policy";
  EXPECT_EQ(BindingIn({{bound, "1"}}), Binding::kDefault);
  EXPECT_EQ(BindingIn({}), Binding::kAskedFor);
  EXPECT_EQ(BindingIn({{bound, "1"}, {"OMPI_MCA_hwloc_base_binding_policy", "core"}}),
            Binding::kAskedFor);
  EXPECT_EQ(BindingIn({{bound, "1"}, {"OMPI_MCA_hwloc_base_cpu_set", "0"}}), Binding::kAskedFor);
  const LauncherProcess rankfile{1, "mpirun", {"mpirun", "--rankfile", "hosts", "./x"}, {}};
  EXPECT_EQ(BindingIn({{bound, "1"}}, rankfile), Binding::kAskedFor);
  for (const char* object : {"slot:PE=2", "socket", "ppr:2:numa", "ppr:1:node:pe=4"}) {
    EXPECT_EQ(BindingIn({{bound, "1"}, {mapping, object}}), Binding::kAskedFor) << object;
  }
  // These mappings place ranks on hosts or slots and choose no cores within a host.
  for (const char* object : {"node", "slot", "ppr:1:node", ":OVERSUBSCRIBE"}) {
    EXPECT_EQ(BindingIn({{bound, "1"}, {mapping, object}}), Binding::kDefault) << object;
  }
}

TEST(ReadBindingTest, ReadsOpenMpi5sCommandLine) {
  const auto of = [](const std::vector<std::string>& options, const char* variable = "A=1") {
    LauncherProcess prterun{1, "prterun", {"prterun"}, {variable}};
    prterun.arguments.insert(prterun.arguments.end(), options.begin(), options.end());
    prterun.arguments.push_back("finetune");
    return BindingIn({}, prterun);
  };
  EXPECT_EQ(of({"-np", "1"}), Binding::kDefault);
  EXPECT_EQ(of({"-np", "2", "--map-by", "ppr:1:node"}), Binding::kDefault);
  EXPECT_EQ(of({"-np", "1", "--bind-to", "core"}), Binding::kAskedFor);
  EXPECT_EQ(of({"-np", "1", "-bind-to", "core"}), Binding::kAskedFor);
  EXPECT_EQ(of({"-np", "1", "--map-by", "slot:PE=2"}), Binding::kAskedFor);
  EXPECT_EQ(of({"-np", "1", "--cpu-set", "0"}), Binding::kAskedFor);
  EXPECT_EQ(of({"--prtemca", "hwloc_default_binding_policy", "core"}), Binding::kAskedFor);
  EXPECT_EQ(of({}, "PRTE_MCA_hwloc_default_binding_policy=core"), Binding::kAskedFor);
}

TEST(ReadBindingTest, LeavesTheQuestionOpenWhereADaemonStartedTheRank) {
  const LauncherProcess prted{1, "prted", {"prted", "--prtemca", "ess", "env"}, {}};
  EXPECT_EQ(BindingIn({}, prted), Binding::kUnknown);
  const LauncherProcess told{
      1, "prted", {"prted", "--prtemca", "hwloc_default_binding_policy", "core"}, {}};
  EXPECT_EQ(BindingIn({}, told), Binding::kAskedFor);
}

TEST(ReadBindingTest, LeavesOtherLaunchersAlone) {
  for (const char* name : {"hydra_pmi_proxy", "slurmstepd"}) {
    EXPECT_EQ(BindingIn({}, LauncherProcess{1, name, {}, {}}), Binding::kAskedFor);
  }
}

TEST(ParseCpuListTest, ReadsWhatLinuxWrites) {
  EXPECT_THAT(*ParseCpuList("0"), ElementsAre(0));
  EXPECT_THAT(*ParseCpuList("0-3,8,10-11"), ElementsAre(0, 1, 2, 3, 8, 10, 11));
  for (const char* text : {"", "a", "3-1", "1-2-3", "-1", "1,", "0-999999"}) {
    EXPECT_FALSE(ParseCpuList(text).ok()) << text;
  }
}

}  // namespace
}  // namespace finetune
