#ifndef FINETUNE_TESTS_SYNCED_PATHS_H_
#define FINETUNE_TESTS_SYNCED_PATHS_H_

#include <string>
#include <vector>

namespace finetune {

// Returns the paths of the files and folders for which this program has called fsync(), in the
// order of the calls. This library records them with an fsync() of its own, which replaces the C
// library's in a program that links it. It also syncs the file.
std::vector<std::string> SyncedPaths();

}  // namespace finetune

#endif  // FINETUNE_TESTS_SYNCED_PATHS_H_
