#ifndef FINETUNE_TESTS_SYNCED_PATHS_H_
#define FINETUNE_TESTS_SYNCED_PATHS_H_

#include <string>
#include <vector>

namespace finetune {

// Returns the paths of the files and folders that this program has given to fsync(), in the order
// of the calls. In a program that links this library, its fsync() replaces the C library's, and
// syncs as that does.
std::vector<std::string> SyncedPaths();

}  // namespace finetune

#endif  // FINETUNE_TESTS_SYNCED_PATHS_H_
