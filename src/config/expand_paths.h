#ifndef FINETUNE_CONFIG_EXPAND_PATHS_H_
#define FINETUNE_CONFIG_EXPAND_PATHS_H_

#include "absl/status/status.h"
#include "src/config/config.h"

namespace finetune {

// Replaces a "~" at the start of the config's paths by HOME, as ExpandHome() does, in
// data.train.path, data.val.path and runtime.work_dir. A pretrained checkpoint may be a URL, so the
// code that fetches it expands it. Errors: those of ExpandHome(), with the field and its place.
absl::Status ExpandPaths(LoadedConfig* loaded);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_EXPAND_PATHS_H_
