#ifndef FINETUNE_TESTS_MPI_MAIN_H_
#define FINETUNE_TESTS_MPI_MAIN_H_

#include "src/comm/mpi/mpi_session.h"

namespace finetune {

// Returns the MPI session of a test that runs under mpirun.
const MpiSession& TestSession();

}  // namespace finetune

#endif  // FINETUNE_TESTS_MPI_MAIN_H_
