#ifndef FINETUNE_PLAN_COMMAND_H_
#define FINETUNE_PLAN_COMMAND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/config.h"

namespace finetune {

// The flags of `finetune plan`, not yet parsed. See `finetune help plan`.
struct PlanFlags {
  std::string ranks = "1,8,64,512";
  // The links between hosts. Each one gets a table of its own.
  std::vector<std::string> links;
  std::string intra_link = "shared-memory";
  int ranks_per_host = 8;
  // The bytes of memory of each host. 0: the smallest limit of this host.
  int64_t host_memory = 0;
  std::string algorithm = "auto";
  // The number of iterations to measure on this host. 0: 5 iterations, or none if a profile is
  // given.
  int measure = 0;
  std::string profile;
  std::string save_profile;
  bool force = false;  // whether an existing file at `save_profile` is replaced
  // The number of images in the training split. 0: the manifest's number.
  int64_t images = 0;
  bool json = false;
};

// Predicts the times of the config's training for each number of ranks, and returns the text to
// print: tables or JSON. Errors: InvalidArgument and NotFound for mistakes of the user.
absl::StatusOr<std::string> RunPlan(const LoadedConfig& loaded, const PlanFlags& flags);

}  // namespace finetune

#endif  // FINETUNE_PLAN_COMMAND_H_
