#ifndef FINETUNE_DATA_DECODE_IMAGE_ENDING_H_
#define FINETUNE_DATA_DECODE_IMAGE_ENDING_H_

#include "absl/strings/string_view.h"

namespace finetune {

// Whether a file's name ends as that of an image of a kind that ImageDecoder reads.
bool HasImageEnding(absl::string_view name);

}  // namespace finetune

#endif  // FINETUNE_DATA_DECODE_IMAGE_ENDING_H_
