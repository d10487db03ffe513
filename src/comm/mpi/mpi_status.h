#ifndef FINETUNE_COMM_MPI_MPI_STATUS_H_
#define FINETUNE_COMM_MPI_MPI_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace finetune {

// Converts the return code of an MPI function. Returns OK for MPI_SUCCESS, otherwise Unavailable
// with the text "<what>: <MPI's message for the code>".
absl::Status MpiStatus(int code, absl::string_view what);

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_MPI_STATUS_H_
