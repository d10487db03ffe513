#ifndef FINETUNE_COMM_MPI_MPI_STATUS_H_
#define FINETUNE_COMM_MPI_MPI_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace finetune {

// Returns OK for MPI_SUCCESS, else Unavailable with "<what>: <MPI's own message>".
absl::Status MpiStatus(int code, absl::string_view what);

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_MPI_STATUS_H_
