#include "src/main/commands/batch.h"

#include "src/base/exit_code.h"

namespace finetune {

std::vector<std::string> BatchCommand::examples() const {
  return {"mpirun -np 2 finetune batch --config=demo.pbtxt --from=8 --to=256"};
}

void BatchCommand::AddFlags(FlagList* flags) {
  constexpr int kMost = 1 << 20;
  config_.AddTo(flags);
  flags->WholeNumber("--from", "The smallest micro-batch to try, in images of a rank (default 1)",
                     1, kMost, &flags_.from);
  flags->WholeNumber("--to", "The largest micro-batch to try (default 1024)", 1, kMost, &flags_.to);
  flags->WholeNumber("--iterations", "Iterations to measure for each size (default 5)", 1, kMost,
                     &flags_.iterations);
}

absl::Status BatchCommand::Check() const {
  FT_RETURN_IF_ERROR(config_.Check());
  return CheckBatchFlags(flags_);
}

absl::StatusOr<int> BatchCommand::RunOnRanks(const LoadedConfig& loaded, Communicator* comm) {
  FT_RETURN_IF_ERROR(RunBatch(loaded, flags_, comm));
  return kExitDone;
}

}  // namespace finetune
