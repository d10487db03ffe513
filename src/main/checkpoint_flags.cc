#include "src/main/checkpoint_flags.h"

#include "absl/strings/str_cat.h"
#include "src/config/expand_paths.h"
#include "src/train/checkpoint_config.h"

namespace finetune {

void CheckpointFlags::AddTo(const std::string& checkpoint_help, FlagList* flags) {
  config.AddTo(flags);
  flags->Path(Flag::Kind::kFile, "--checkpoint", "FILE", checkpoint_help, &checkpoint);
  flags->Text("--key", "NAME",
              "The entry of the file that holds the weights (default: the usual one)", &key);
  flags->Text("--prefix", "NAME", "The start of the weights' names, as model in model.conv1.weight",
              &weights.prefix);
  flags
      ->Text("--weights", "ema|raw", "Averaged or raw weights of a file with both (default: ema)",
             &weights.weights)
      ->choices = {"ema", "raw"};
  flags->Switch("--adapt_input_channels", "Fit a first convolution of another number of channels",
                &weights.adapt_input_channels);
}

absl::Status CheckpointFlags::Check() const {
  if (checkpoint.empty()) {
    return absl::InvalidArgumentError(
        "--checkpoint is not given; for example --checkpoint=work_dirs/demo/epoch_8.pth");
  }
  if (!weights.weights.empty() && weights.weights != "ema" && weights.weights != "raw") {
    return absl::InvalidArgumentError(
        absl::StrCat("--weights=", weights.weights, ": expected ema or raw"));
  }
  if (!weights.weights.empty() && !key.empty()) {
    return absl::InvalidArgumentError("--weights and --key both choose an entry: give one of them");
  }
  return config.config.empty() ? absl::OkStatus() : config.Check();
}

absl::StatusOr<LoadedConfig> CheckpointFlags::Load() const {
  if (!config.config.empty()) return config.LoadExpanded();
  FT_ASSIGN_OR_RETURN(LoadedConfig loaded, LoadCheckpointConfig(checkpoint, config.set));
  FT_RETURN_IF_ERROR(ExpandPaths(&loaded));
  return loaded;
}

}  // namespace finetune
