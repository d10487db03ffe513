#ifndef FINETUNE_MAIN_FLAGS_H_
#define FINETUNE_MAIN_FLAGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/plan/command.h"

namespace finetune {

// What somebody typed.
struct CommandLine {
  enum class Command { kTrain, kEvaluate, kConfig, kReport, kPlan, kHelp, kVersion };
  Command command = Command::kTrain;
  // For kHelp: what to print.
  std::string help;

  std::string config;
  std::vector<std::string> config_path;
  std::vector<std::string> set;
  // Training; the report of a run.
  std::string work_dir;
  std::string resume;
  bool overwrite = false;
  bool other_data = false;
  int64_t max_iterations = 0;
  std::string trace;
  // Evaluation.
  std::string checkpoint;
  std::string key;
  std::string prefix;
  bool adapt_input_channels = false;
  // Printing the config.
  bool origins = true;
  // Predicting a run.
  PlanFlags plan;
};

// Errors: InvalidArgument with what is wrong and the nearest flag; the exit code is then 2.
absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments);

}  // namespace finetune

#endif  // FINETUNE_MAIN_FLAGS_H_
