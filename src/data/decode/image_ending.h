#ifndef FINETUNE_DATA_DECODE_IMAGE_ENDING_H_
#define FINETUNE_DATA_DECODE_IMAGE_ENDING_H_

#include "absl/strings/string_view.h"

namespace finetune {

// Returns whether a file's name has an ending of a format that ImageDecoder reads, such as ".jpg".
// Upper and lower case are the same.
bool HasImageEnding(absl::string_view name);

// Returns whether a file or folder in the path is hidden: its name begins with a dot (except "."
// and ".."). Such files belong to the operating system or to programs and are not images.
bool HasHiddenPart(absl::string_view path);

}  // namespace finetune

#endif  // FINETUNE_DATA_DECODE_IMAGE_ENDING_H_
