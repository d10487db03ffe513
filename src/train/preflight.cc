#include "src/train/preflight.h"

#include <memory>
#include <utility>

#include "src/comm/single_communicator.h"
#include "src/train/setup.h"
#include "src/train/training_step.h"

namespace finetune {
namespace {

// Imitates rank 0 of several ranks that all contribute the same values to a collective. The other
// ranks are on other hosts, so this rank gets all cores of its host.
class EchoCommunicator : public SingleCommunicator {
 public:
  explicit EchoCommunicator(int ranks) {
    world_.size = ranks;
    world_.hosts.resize(ranks, "another host");
  }

  using Communicator::AllReduceSum;
  const World& world() const override { return world_; }
  absl::Status AllReduceSum(absl::Span<double> values) override {
    for (double& value : values) value *= world_.size;
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<std::string>> AllGather(absl::string_view bytes) override {
    return std::vector<std::string>(world_.size, std::string(bytes));
  }

 private:
  World world_;
};

}  // namespace

absl::StatusOr<Preflight> CheckStart(const LoadedConfig& loaded, int ranks) {
  EchoCommunicator comm(ranks);
  FT_ASSIGN_OR_RETURN(Setup setup, Prepare(loaded, /*evaluated=*/nullptr, /*resumes=*/false,
                                           /*trace=*/nullptr, &comm));
  FT_RETURN_IF_ERROR(
      TrainingStep::Create(loaded.config, setup.device, setup.model.get(), &comm).status());
  Preflight preflight{std::move(setup.notes), std::move(setup.warnings)};
  for (std::string& warning : setup.host_warnings) {
    preflight.warnings.push_back(std::move(warning));
  }
  return preflight;
}

}  // namespace finetune
