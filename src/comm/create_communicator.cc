#include "src/comm/create_communicator.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/comm/agreement.h"
#include "src/comm/mpi/mpi_communicator.h"
#include "src/comm/single_communicator.h"
#include "src/comm/watchdog/watchdog.h"
#include "src/config/field_error.h"
#include "src/host/gpus.h"
#ifdef FINETUNE_CUDA
#include "src/comm/nccl/nccl_communicator.h"
#endif

namespace finetune {
namespace {

// Returns whether the job runs on GPUs. Collective. Errors: InvalidArgument, on every rank, when a
// rank whose `device` is CUDA sees no GPU.
absl::StatusOr<bool> UsesGpus(RuntimeConfig::Device device, Communicator& comm) {
  const Gpus gpus = VisibleGpus();
  const bool yes =
      device == RuntimeConfig::CUDA || (device == RuntimeConfig::AUTO && gpus.count > 0);
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> all,
                      comm.AllGather(device == RuntimeConfig::CPU ? "no"
                                     : yes                        ? "yes"
                                                                  : "as the others"));
  if (std::count(all.begin(), all.end(), "no") > 0) return false;
  absl::Status status;
  if (device == RuntimeConfig::CUDA && gpus.count == 0) {
    status = FieldError("runtime.device", absl::StrCat("is CUDA, but ", gpus.why_none));
  }
  FT_RETURN_IF_ERROR(Agree(status, comm));
  return std::count(all.begin(), all.end(), "yes") > 0;
}

absl::Status CheckBackend(CommConfig::Backend backend, bool cuda) {
  if (backend == CommConfig::NCCL && !cuda) {
    return FieldError("comm.backend",
                      "NCCL works on GPUs, and this run is on the CPU: leave it unset, or MPI");
  }
  if (backend == CommConfig::MPI && cuda) {
    return FieldError("comm.backend",
                      "MPI works on the CPU's memory, and this run is on GPUs: leave it unset, or "
                      "set runtime.device: CPU");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> CreateCommunicator(const MpiSession& session,
                                                                 const CommConfig& config,
                                                                 RuntimeConfig::Device device,
                                                                 CommObserver observer) {
  // The communicator for tensors in the CPU's memory. NcclCommunicator uses it for everything that
  // is not on a GPU.
  std::unique_ptr<Communicator> host;
  [[maybe_unused]] Watchdog* watchdog = nullptr;  // used only for GPUs
  if (session.active()) {
    FT_ASSIGN_OR_RETURN(auto mpi, MpiCommunicator::Create(session, config, observer));
    watchdog = mpi->watchdog();
    host = std::move(mpi);
  } else {
    host = std::make_unique<SingleCommunicator>();
  }
  FT_ASSIGN_OR_RETURN(const bool cuda, UsesGpus(device, *host));
  FT_RETURN_IF_ERROR(Agree(CheckBackend(config.backend(), cuda), *host));
  if (host->size() == 1) return std::make_unique<SingleCommunicator>(cuda ? 0 : -1);
#ifdef FINETUNE_CUDA
  if (cuda) return NcclCommunicator::Create(std::move(host), watchdog, config, std::move(observer));
#endif
  return host;
}

}  // namespace finetune
