#include "src/main/commands/evaluate.h"

#include <cstdio>

#include "src/main/exit_code.h"

namespace finetune {

std::vector<std::string> EvaluateCommand::examples() const {
  return {
      "mpirun -np 2 finetune evaluate --config=demo.pbtxt --checkpoint=work_dirs/demo/best.pth"};
}

void EvaluateCommand::AddFlags(FlagList* flags) {
  config_.AddTo(flags);
  flags->Path(Flag::Kind::kFile, "--checkpoint", "FILE", "The .pth or .safetensors to evaluate",
              &options_.checkpoint);
  flags->Text("--key", "NAME",
              "The entry of the file that holds the weights, as model_ema (default: the usual one)",
              &options_.key);
  flags->Text("--prefix", "NAME",
              "What the weights' names begin with, as model in model.conv1.weight",
              &options_.weights.prefix);
  flags->Switch("--adapt_input_channels",
                "Fit a first convolution of another number of channels, as "
                "model.backbone.pretrained does",
                &options_.weights.adapt_input_channels);
}

absl::Status EvaluateCommand::Check() const {
  FT_RETURN_IF_ERROR(config_.Check());
  if (options_.checkpoint.empty()) {
    return absl::InvalidArgumentError(
        "--checkpoint is not given; for example --checkpoint=work_dirs/demo/epoch_8.pth");
  }
  return absl::OkStatus();
}

absl::StatusOr<int> EvaluateCommand::RunOnRanks(const LoadedConfig& loaded, Communicator* comm) {
  FT_ASSIGN_OR_RETURN(const Evaluation result, EvaluateCheckpoint(loaded, options_, comm));
  if (comm->rank() != 0) return kExitDone;
  std::printf("%lld pictures, loss %.4f", static_cast<long long>(result.pictures), result.loss);
  for (const auto& top : result.topk) {
    std::printf(", top-%d accuracy %.2f %%", top.k, 100 * top.accuracy);
  }
  std::printf(" (%.1f pictures/s)\n", static_cast<double>(result.pictures) / result.seconds);
  return kExitDone;
}

}  // namespace finetune
