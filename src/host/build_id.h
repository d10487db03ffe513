#ifndef FINETUNE_HOST_BUILD_ID_H_
#define FINETUNE_HOST_BUILD_ID_H_

#include <string>

#include "absl/strings/string_view.h"

namespace finetune {

// Returns, in hexadecimal, the linker's build id (ELF note NT_GNU_BUILD_ID) of this program or of
// the loaded `library`, such as "libtorch_cpu.so". The build id is a digest of code and data. It is
// read from memory, because hashing the file would take a good part of a second. Returns "unknown"
// for a library that is not loaded, and where the linker made no build id.
std::string BuildId(absl::string_view library = "");

}  // namespace finetune

#endif  // FINETUNE_HOST_BUILD_ID_H_
