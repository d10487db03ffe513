#ifndef FINETUNE_BASE_TEST_FOLDER_H_
#define FINETUNE_BASE_TEST_FOLDER_H_

#include <string>

namespace finetune {

// Returns the path of an empty folder that only the running test uses. Creates the folder, or
// empties it where it exists.
std::string EmptyTestFolder();

}  // namespace finetune

#endif  // FINETUNE_BASE_TEST_FOLDER_H_
