#ifndef FINETUNE_BASE_BYTE_SIZE_H_
#define FINETUNE_BASE_BYTE_SIZE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace finetune {

// Returns the number of bytes that a text such as "40GiB", "1.5TiB" or "64G" means. K, M, G and T
// are powers of 1024 and may be followed by "iB", as in Slurm's --mem. Errors: InvalidArgument for
// any other text, such as a number without a unit, and for less than one byte.
absl::StatusOr<int64_t> ParseByteSize(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_BASE_BYTE_SIZE_H_
