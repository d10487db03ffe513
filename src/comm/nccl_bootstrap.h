#ifndef FINETUNE_COMM_NCCL_BOOTSTRAP_H_
#define FINETUNE_COMM_NCCL_BOOTSTRAP_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/comm/communicator.h"
#include "src/config/experiment.pb.h"

namespace finetune {

// What of NCCL's start needs no GPU.

// The GPU of a rank: one each, by local rank. `devices`: GPUs that this process sees. Errors:
// FailedPrecondition with the count of both when a host has more ranks than GPUs.
absl::StatusOr<int> ChooseDevice(int local_rank, int local_size, int devices,
                                 absl::string_view host);

// The value of NCCL_ALGO that makes NCCL use `algorithm` for all-reduces; empty for NCCL's own
// choice. Broadcasts have the ring alone, so it is always allowed for the rest.
std::string NcclAlgorithmVariable(NcclConfig::Algorithm algorithm);

// The id that rank 0 makes, on every rank. Collective. An error of rank 0's is every rank's, with
// its name.
absl::StatusOr<std::string> ShareUniqueId(const std::function<absl::StatusOr<std::string>()>& make,
                                          Communicator& host);

}  // namespace finetune

#endif  // FINETUNE_COMM_NCCL_BOOTSTRAP_H_
