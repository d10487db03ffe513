#include "src/main/commands/lr.h"

#include "src/base/exit_code.h"

namespace finetune {

std::vector<std::string> LrCommand::examples() const {
  return {"mpirun -np 2 finetune lr --config=demo.pbtxt",
          "finetune lr --config=demo.pbtxt --output=lr.csv --output=lr.svg"};
}

void LrCommand::AddFlags(FlagList* flags) {
  constexpr double kLeast = 1e-20, kMost = 1e6;
  LrTestOptions& test = flags_.test;
  config_.AddTo(flags);
  flags->Number("--min", "The first learning rate (default 1e-7)", kLeast, kMost, &test.min);
  flags->Number("--max", "The highest learning rate (default 10)", kLeast, kMost, &test.max);
  flags->WholeNumber("--iterations", "Iterations from --min to --max (default 100)", 10,
                     &test.iterations);
  flags->Number("--smoothing", "The weight of earlier losses in the smoothed loss (default 0.98)",
                0, 0.999, &test.smoothing);
  flags->Number("--stop_factor",
                "End where the smoothed loss exceeds its best by this factor (default 4)", 1, kMost,
                &test.stop_factor);
  flags->Paths(Flag::Kind::kFile, "--output", "FILE",
               "Write the curve to this .csv, .json or .svg; repeatable", &flags_.outputs);
  flags->Switch("--force", "Replace files of --output that are there", &flags_.force);
}

absl::Status LrCommand::Check() const {
  FT_RETURN_IF_ERROR(config_.Check());
  return CheckLrFlags(flags_);
}

absl::StatusOr<int> LrCommand::RunOnRanks(const LoadedConfig& loaded, Communicator* comm) {
  FT_RETURN_IF_ERROR(RunLr(loaded, flags_, comm));
  return kExitDone;
}

}  // namespace finetune
