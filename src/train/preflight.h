#ifndef FINETUNE_TRAIN_PREFLIGHT_H_
#define FINETUNE_TRAIN_PREFLIGHT_H_

#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/config.h"

namespace finetune {

// The notes and warnings that a run would log at its start.
struct Preflight {
  std::vector<std::string> notes;
  std::vector<std::string> warnings;
};

// Does what a run on `ranks` ranks does before its first iteration, in this process alone and on
// the CPU: opens the data, checks the config against the data, creates the model and the optimizer,
// and downloads the pretrained weights into the cache and reads them. Writes nothing to the
// work_dir. Errors: those of Train() before training.
absl::StatusOr<Preflight> CheckStart(const LoadedConfig& loaded, int ranks);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_PREFLIGHT_H_
