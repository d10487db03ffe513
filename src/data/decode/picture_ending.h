#ifndef FINETUNE_DATA_DECODE_PICTURE_ENDING_H_
#define FINETUNE_DATA_DECODE_PICTURE_ENDING_H_

#include "absl/strings/string_view.h"

namespace finetune {

// Whether a file's name ends as that of a picture of a kind that PictureDecoder reads.
bool HasPictureEnding(absl::string_view name);

}  // namespace finetune

#endif  // FINETUNE_DATA_DECODE_PICTURE_ENDING_H_
