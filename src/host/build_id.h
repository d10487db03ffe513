#ifndef FINETUNE_HOST_BUILD_ID_H_
#define FINETUNE_HOST_BUILD_ID_H_

#include <string>

#include "absl/strings/string_view.h"

namespace finetune {

// The linker's build id of this program, or of a library that it has loaded ("libtorch_cpu.so"), in
// hexadecimal: a digest of its code and data (ELF note NT_GNU_BUILD_ID). Read from memory, where
// hashing the file would take a good part of a second. "unknown" for what was linked without one,
// or is not loaded.
std::string BuildId(absl::string_view library = "");

}  // namespace finetune

#endif  // FINETUNE_HOST_BUILD_ID_H_
