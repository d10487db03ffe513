#ifndef FINETUNE_DATA_TRANSFORMS_GRAYSCALE_H_
#define FINETUNE_DATA_TRANSFORMS_GRAYSCALE_H_

#include <memory>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Turns the image grey and spreads the grey over as many channels as the config says.
// Errors: InvalidArgument for another number of channels than 1 or 3.
absl::StatusOr<std::unique_ptr<Transform>> MakeGrayscale(const GrayscaleConfig& config,
                                                         const ImageShape& input);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_GRAYSCALE_H_
