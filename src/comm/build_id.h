#ifndef FINETUNE_COMM_BUILD_ID_H_
#define FINETUNE_COMM_BUILD_ID_H_

#include <string>

namespace finetune {

// The linker's build id of this program, in hexadecimal: a digest of its code and data (ELF note
// NT_GNU_BUILD_ID). Read from memory, where hashing the file would take a good part of a second.
// "unknown" for a program linked without.
std::string BuildId();

}  // namespace finetune

#endif  // FINETUNE_COMM_BUILD_ID_H_
