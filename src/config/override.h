#ifndef FINETUNE_CONFIG_OVERRIDE_H_
#define FINETUNE_CONFIG_OVERRIDE_H_

#include <string>

#include "absl/status/status.h"
#include "src/config/overlay.h"

namespace finetune {

// Sets a field of `layer` to the value of a --set. `text`: "optimizer.sgd.lr=0.02". Errors:
// InvalidArgument, whose message does not repeat `text`; then the contents of `layer` are
// undefined.
absl::Status Override(const std::string& text, Layer* layer);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_OVERRIDE_H_
