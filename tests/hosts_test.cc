// Tests runs over several hosts. The hosts are network namespaces of this machine, each with a name
// and an address. mpirun starts ranks on them as over ssh, and the ranks use TCP. Needs root.
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/job.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

constexpr int kHosts = 4;

class HostsTest : public TrainingTest {
 protected:
  void SetUp() override {
    TrainingTest::SetUp();
    on_host_ = std::filesystem::absolute("tests/on_host.sh").string();
    // The namespaces belong to this process and its children, and end with them.
    ASSERT_EQ(unshare(CLONE_NEWNET | CLONE_NEWNS), 0)
        << std::strerror(errno) << ": this test makes network namespaces, and must run as root (in "
        << "a container: with CAP_SYS_ADMIN and CAP_NET_ADMIN)";
    Succeed(absl::StrCat("tests/make_hosts.sh ", kHosts, " ", folder_));
    if (!HasFatalFailure()) WriteResNet();
  }

  void Succeed(const std::string& command) {
    const Outcome outcome = Run(command);
    ASSERT_EQ(outcome.exit_code, 0) << command << "\n" << outcome.output;
  }

  // Connects the hosts as a switch would.
  void Bridge() {
    Succeed("ip link add name bridge type bridge");
    for (int i = 1; i <= kHosts; ++i) {
      Succeed(absl::StrCat("ip link set dev port", i, " master bridge"));
    }
    Succeed("ip link set dev bridge up");
  }

  // Returns the command that runs one rank on each host. mpirun runs on the first host.
  std::string MpirunOnHosts(const std::string& work_dir, const std::string& flags = "") const {
    return absl::StrCat(on_host_, " host1 mpirun -np ", kHosts,
                        " --host host1,host2,host3,host4 --bind-to none --mca plm_rsh_agent ",
                        on_host_, " --mca oob_tcp_if_include eth0 --mca btl tcp,self ",
                        // the folder that a killed mpirun leaves behind
                        "--mca btl_tcp_if_include eth0 --mca orte_tmpdir_base ", folder_, " ",
                        Finetune(work_dir, flags));
  }

  std::string on_host_;
};

TEST_F(HostsTest, FourHostsGiveTheBitsOfFourRanksOnOne) {
  Bridge();
  // Open MPI takes the namespaces for hosts, so the ranks cannot use shared memory.
  const Outcome shared = Run(MpirunOnHosts("shared", "--set=comm.mpi.algorithm=SHARED_MEMORY"));
  EXPECT_EQ(shared.exit_code, 2);
  EXPECT_THAT(shared.output, HasSubstr("needs all ranks on one host; 1 of 4 are on host1"));

  const Outcome one = Run(Mpirun(kHosts, "one_host"));
  ASSERT_EQ(one.exit_code, 0) << one.output;
  const Outcome four = Run(MpirunOnHosts("four_hosts"));
  ASSERT_EQ(four.exit_code, 0) << four.output;
  ExpectSameCheckpoints("one_host/epoch_3.pth", "four_hosts/epoch_3.pth");
  EXPECT_EQ(Losses("one_host"), Losses("four_hosts"));
}

TEST_F(HostsTest, ANetworkThatDelaysAndLosesDoesNotChangeTheResult) {
  const Outcome one = Run(Mpirun(kHosts, "one_host"));
  ASSERT_EQ(one.exit_code, 0) << one.output;
  // The hub must end with the job.
  const Outcome four = Run(
      absl::StrCat("bash -c 'tests/lossy_hub 0.01 1 port1 port2 port3 port4 & hub=$!; ",
                   MpirunOnHosts("four_hosts"), "; code=$?; kill $hub; wait $hub; exit $code'"));
  ASSERT_EQ(four.exit_code, 0) << four.output;
  EXPECT_THAT(four.output, ContainsRegex("lost [1-9][0-9]* of [0-9]+ frames"));
  ExpectSameCheckpoints("one_host/epoch_3.pth", "four_hosts/epoch_3.pth");
}

TEST_F(HostsTest, AHostThatIsCutOffEndsTheJobAndIsNamed) {
  Bridge();
  Job job(MpirunOnHosts("cut",
                        "--set=schedule.max_epochs=1000000 --set=comm.stall_warning_seconds=1 "
                        "--set=comm.timeout_seconds=4"),
          folder_ + "/cut.log");
  ASSERT_TRUE(job.WaitFor("epoch 2 [1/5]"));
  // Rank 2 runs on host3.
  ASSERT_EQ(system("ip -n host3 link set dev eth0 down"), 0);
  const Outcome outcome = job.Wait();
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output,
              ContainsRegex("rank 2 \\(host host3\\) (has not come to|holds up) collective "
                            "[^\n]*not heard of for"));
  EXPECT_THAT(outcome.output, HasSubstr("over comm.timeout_seconds: ending the job"));
}

}  // namespace
}  // namespace finetune
