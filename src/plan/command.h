#ifndef FINETUNE_PLAN_COMMAND_H_
#define FINETUNE_PLAN_COMMAND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/config.h"

namespace finetune {

// The flags of `finetune plan` as typed.
struct PlanFlags {
  std::string ranks = "1,8,64,512";
  // One table for each.
  std::vector<std::string> links;
  std::string intra_link = "shared-memory";
  int ranks_per_host = 8;
  std::string algorithm = "auto";
  // Iterations to measure here. 0: 5, or none with a profile.
  int measure = 0;
  std::string profile;
  std::string save_profile;
  // The images of the training split. 0: the manifest's number.
  int64_t pictures = 0;
  bool json = false;
};

// Predicts the config's training and returns the text to print: tables or JSON. Errors:
// InvalidArgument and NotFound for mistakes of the user.
absl::StatusOr<std::string> RunPlan(const LoadedConfig& loaded, const PlanFlags& flags);

}  // namespace finetune

#endif  // FINETUNE_PLAN_COMMAND_H_
