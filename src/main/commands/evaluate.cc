#include "src/main/commands/evaluate.h"

#include <cstdio>

#include "src/config/expand_paths.h"
#include "src/main/exit_code.h"
#include "src/train/checkpoint_config.h"

namespace finetune {

std::vector<std::string> EvaluateCommand::examples() const {
  return {"mpirun -np 2 finetune evaluate --checkpoint=work_dirs/demo/best.pth",
          "finetune evaluate --config=demo.pbtxt --checkpoint=best.pth --compare=other.pth"};
}

void EvaluateCommand::AddFlags(FlagList* flags) {
  EvaluateOptions& options = flags_.evaluate;
  config_.AddTo(flags);
  flags->Path(Flag::Kind::kFile, "--checkpoint", "FILE",
              "The .pth or .safetensors to evaluate; finetune's carries its config",
              &options.checkpoint);
  flags->Text("--key", "NAME",
              "The entry of the file that holds the weights (default: the usual one)",
              &options.key);
  flags->Text("--prefix", "NAME", "The start of the weights' names, as model in model.conv1.weight",
              &options.weights.prefix);
  flags->Switch("--adapt_input_channels", "Fit a first convolution of another number of channels",
                &options.weights.adapt_input_channels);
  flags->Switch("--flip", "Take the mean of each image's and its mirror image's probabilities",
                &options.flip);
  flags->Path(Flag::Kind::kFile, "--compare", "FILE",
              "Another checkpoint, compared by McNemar's test", &flags_.compare);
  flags->Path(Flag::Kind::kFile, "--output", "JSON", "Write every figure to this file",
              &flags_.output);
  flags->Path(Flag::Kind::kFile, "--scores", "FILE",
              "Write each image's probabilities to this .csv or .npy", &options.scores);
}

absl::Status EvaluateCommand::Check() const {
  if (flags_.evaluate.checkpoint.empty()) {
    return absl::InvalidArgumentError(
        "--checkpoint is not given; for example --checkpoint=work_dirs/demo/epoch_8.pth");
  }
  return config_.config.empty() ? absl::OkStatus() : config_.Check();
}

absl::StatusOr<LoadedConfig> EvaluateCommand::Load() {
  if (!config_.config.empty()) return config_.LoadExpanded();
  FT_ASSIGN_OR_RETURN(LoadedConfig loaded,
                      LoadCheckpointConfig(flags_.evaluate.checkpoint, config_.set));
  FT_RETURN_IF_ERROR(ExpandPaths(&loaded));
  return loaded;
}

absl::StatusOr<int> EvaluateCommand::RunOnRanks(const LoadedConfig& loaded, Communicator* comm) {
  FT_ASSIGN_OR_RETURN(const std::string text, RunEvaluate(loaded, flags_, comm));
  std::printf("%s", text.c_str());
  return kExitDone;
}

}  // namespace finetune
