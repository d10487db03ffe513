#include "src/comm/nccl/nccl_bootstrap.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace finetune {

absl::StatusOr<int> ChooseDevice(int local_rank, int local_size, int devices,
                                 absl::string_view host) {
  if (local_size > devices) {
    return absl::FailedPreconditionError(
        absl::StrCat("host ", host, " has ", local_size, " rank", local_size == 1 ? "" : "s",
                     " but ", devices, " GPU", devices == 1 ? "" : "s", " that they may see (",
                     local_size, " > ", devices, "); NCCL needs one each. Start at most ", devices,
                     " ranks a host (mpirun --map-by ppr:N:node), ask for more GPUs, look at "
                     "CUDA_VISIBLE_DEVICES, or "
                     "set runtime.device: CPU"));
  }
  return local_rank;
}

std::string NcclAlgorithmVariable(NcclConfig::Algorithm algorithm) {
  switch (algorithm) {
    case NcclConfig::RING:
      return "ring";
    case NcclConfig::TREE:
      return "ring;allreduce:tree";
    case NcclConfig::NCCL_CHOICE:
      return "";
  }
  return "";
}

absl::StatusOr<std::string> ShareUniqueId(const std::function<absl::StatusOr<std::string>()>& make,
                                          Communicator& host) {
  // The first byte tells whether the rest is the id or an error.
  std::string message;
  if (host.rank() == 0) {
    absl::StatusOr<std::string> id = make();
    message = id.ok() ? absl::StrCat("+", *id) : absl::StrCat("-", id.status().message());
  }
  FT_RETURN_IF_ERROR(host.Broadcast(message, 0));
  if (message.empty() || message[0] != '+') {
    return absl::UnavailableError(absl::StrCat(
        "rank 0 (host ", host.host(0),
        ") could not start NCCL: ", message.empty() ? "" : absl::string_view(message).substr(1)));
  }
  return message.substr(1);
}

}  // namespace finetune
