#ifndef FINETUNE_DATA_DECODE_IMAGE_ENDING_H_
#define FINETUNE_DATA_DECODE_IMAGE_ENDING_H_

#include "absl/strings/string_view.h"

namespace finetune {

// Whether a file's name ends as that of an image of a kind that ImageDecoder reads.
bool HasImageEnding(absl::string_view name);

// Whether a part of a path is hidden: its name begins with a dot. Such files belong to the
// operating system and are not images.
bool HasHiddenPart(absl::string_view path);

}  // namespace finetune

#endif  // FINETUNE_DATA_DECODE_IMAGE_ENDING_H_
