// Runs under mpirun with two ranks that communicate over TCP.
#include <mpi.h>

#include <cstdlib>

#include "gtest/gtest.h"
#include "src/comm/mpi/network_sleep.h"
#include "tests/mpi_main.h"

namespace finetune {
namespace {

// Sets the variables before main() calls MPI_Init_thread, which reads them.
[[maybe_unused]] const bool kOverTcp = [] {
  setenv("OMPI_MCA_btl", "tcp,self", 1);
  setenv("OMPI_MCA_btl_tcp_if_include", "lo", 1);
  // The same for MPICH, with UCX or libfabric below it.
  setenv("MPIR_CVAR_NOLOCAL", "1", 1);
  setenv("UCX_TLS", "tcp", 1);
  setenv("FI_PROVIDER", "tcp", 1);
  return true;
}();

TEST(NetworkSleepTest, MessagesOfMpisEndIt) {
  ASSERT_TRUE(TestSession().active());
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Barrier(MPI_COMM_WORLD);
  NetworkSleep sleep;
  int woken = 0;
  // In each round one rank sends and the other receives, in turn.
  for (int round = 0; round < 200; ++round) {
    int number = round;
    if (round % 2 == rank) {
      MPI_Send(&number, 1, MPI_INT, 1 - rank, 0, MPI_COMM_WORLD);
      continue;
    }
    for (int polls = 1, here = 0; here == 0; ++polls) {
      MPI_Iprobe(1 - rank, 0, MPI_COMM_WORLD, &here, MPI_STATUS_IGNORE);
      if (here == 0 && polls % 3 == 0 && sleep.Sleep(absl::Milliseconds(20))) ++woken;
    }
    MPI_Recv(&number, 1, MPI_INT, 1 - rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    EXPECT_EQ(number, round);
  }
  EXPECT_GT(woken, 0);
  MPI_Barrier(MPI_COMM_WORLD);
}

}  // namespace
}  // namespace finetune
