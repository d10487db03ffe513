#ifndef FINETUNE_PLAN_COMMAND_H_
#define FINETUNE_PLAN_COMMAND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/config.h"

namespace finetune {

// The flags of `finetune plan`, as they were typed.
struct PlanFlags {
  std::string ranks = "1,8,64,512";
  // A table for each.
  std::vector<std::string> links;
  std::string intra_link = "shared-memory";
  int ranks_per_host = 8;
  std::string algorithm = "auto";
  // Iterations to measure here. 0: 5 where there is no profile.
  int measure = 0;
  std::string profile;
  std::string save_profile;
  // Of the training split. 0: those of its manifest.
  int64_t pictures = 0;
  bool json = false;
};

// Predicts the config's training and returns what is to be printed: tables, or JSON. Errors:
// InvalidArgument and NotFound for what the user wrote.
absl::StatusOr<std::string> RunPlan(const LoadedConfig& loaded, const PlanFlags& flags);

}  // namespace finetune

#endif  // FINETUNE_PLAN_COMMAND_H_
