#include "src/main/commands/evaluate.h"

#include "src/base/exit_code.h"
#include "src/base/print_output.h"
#include "src/base/status_macros.h"

namespace finetune {

std::vector<std::string> EvaluateCommand::examples() const {
  return {"mpirun -np 2 finetune evaluate --checkpoint=work_dirs/demo/best.pth",
          "finetune evaluate --config=demo.pbtxt --checkpoint=best.pth --compare=other.pth"};
}

void EvaluateCommand::AddFlags(FlagList* flags) {
  EvaluateOptions& options = flags_.evaluate;
  checkpoint_.AddTo("The .pth or .safetensors to evaluate; finetune's carries its config", flags);
  flags->Switch("--flip", "Take the mean of each image's and its mirror image's probabilities",
                &options.flip);
  flags->Path(Flag::Kind::kFile, "--compare", "FILE",
              "Another checkpoint, compared by McNemar's test", &flags_.compare);
  flags->Path(Flag::Kind::kFile, "--output", "JSON", "Write every figure to this file",
              &flags_.output);
  flags->Path(Flag::Kind::kFile, "--scores", "FILE",
              "Write each image's probabilities to this .csv or .npy", &options.scores);
  flags->Switch("--force", "Replace the files of --output and --scores where they are there",
                &flags_.force);
}

EvaluateFlags EvaluateCommand::flags() const {
  EvaluateFlags flags = flags_;
  flags.evaluate.checkpoint = checkpoint_.checkpoint;
  flags.evaluate.key = checkpoint_.key;
  flags.evaluate.weights = checkpoint_.weights;
  return flags;
}

absl::StatusOr<int> EvaluateCommand::RunOnRanks(const LoadedConfig& loaded, Communicator* comm) {
  FT_ASSIGN_OR_RETURN(const std::string text, RunEvaluate(loaded, flags(), comm));
  FT_RETURN_IF_ERROR(PrintOutput(text));
  return kExitDone;
}

}  // namespace finetune
