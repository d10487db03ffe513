#ifndef FINETUNE_CONFIG_OVERRIDE_H_
#define FINETUNE_CONFIG_OVERRIDE_H_

#include <string>

#include "absl/status/status.h"
#include "src/config/overlay.h"

namespace finetune {

// Lays the value of a --set, "optimizer.sgd.lr=0.02", over the layer. Errors: InvalidArgument,
// without the --set itself; the layer is then in any state.
absl::Status Override(const std::string& text, Layer* layer);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_OVERRIDE_H_
