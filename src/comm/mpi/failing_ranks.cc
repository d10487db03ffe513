// A program for failure_test: failing_ranks WAY RANK ALGORITHM. All ranks sum a buffer again and
// again with comm.mpi.algorithm ALGORITHM. In the fifth round rank RANK fails in the way WAY.
#include <ATen/core/Tensor.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/comm/mpi/mpi_communicator.h"

namespace finetune {
namespace {

void Fail(const std::string& way, Communicator& comm) {
  if (way == "abort") comm.Abort("the image 17 of train-00003.h5 is broken");
  if (way == "kill") raise(SIGKILL);
  if (way == "stop") raise(SIGSTOP);
  if (way == "exit") _exit(3);
  if (way == "hang") {
    comm.SetActivity("iteration 5: loading data");
    absl::SleepFor(absl::Hours(1));
  }
  if (way == "pause") {
    comm.SetActivity("iteration 5: writing a checkpoint");
    absl::SleepFor(absl::Seconds(2));
  }
}

int Main(int argc, char** argv) {
  absl::StatusOr<MpiSession> session = MpiSession::Start(&argc, &argv);
  if (!session.ok()) std::fprintf(stderr, "%s\n", std::string(session.status().message()).c_str());
  if (!session.ok() || argc != 4) return 1;
  const std::string way = argv[1];
  const int failing = std::atoi(argv[2]);
  CommConfig config;
  config.set_stall_warning_seconds(0.5);
  config.set_timeout_seconds(way == "pause" ? 60 : 2.5);
  MpiConfig::Algorithm algorithm;
  if (!MpiConfig::Algorithm_Parse(argv[3], &algorithm)) return 1;
  config.mutable_mpi()->set_algorithm(algorithm);
  auto comm = MpiCommunicator::Create(*session, config, {});
  if (!comm.ok()) return 1;
  absl::StatusOr<at::Tensor> buffer = (*comm)->AllocateBuffer(300'000);
  if (!buffer.ok()) (*comm)->Abort(buffer.status().message());
  for (int round = 0; round < 10; ++round) {
    (*comm)->SetActivity(absl::StrCat("iteration ", round, ": computing"));
    if (way == "slow") absl::SleepFor(absl::Milliseconds(500));
    if (round == 5 && (*comm)->rank() == failing) Fail(way, **comm);
    auto work = (*comm)->AllReduceSum(*buffer);
    const absl::Status status = work.ok() ? (*work)->Wait() : work.status();
    if (!status.ok()) (*comm)->Abort(status.message());
  }
  if ((*comm)->rank() == 0) std::printf("all rounds done\n");
  return 0;
}

}  // namespace
}  // namespace finetune

int main(int argc, char** argv) { return finetune::Main(argc, argv); }
