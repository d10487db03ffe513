#ifndef FINETUNE_HOST_BUILD_ID_H_
#define FINETUNE_HOST_BUILD_ID_H_

#include <string>

#include "absl/strings/string_view.h"

namespace finetune {

// Returns the linker's build id of this program, or of a library that it has loaded
// ("libtorch_cpu.so"), in hexadecimal: a digest of code and data (ELF note NT_GNU_BUILD_ID). It is
// read from memory; hashing the file would take a good part of a second. Returns "unknown" for an
// object that was linked without a build id or is not loaded.
std::string BuildId(absl::string_view library = "");

}  // namespace finetune

#endif  // FINETUNE_HOST_BUILD_ID_H_
