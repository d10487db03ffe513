#ifndef FINETUNE_BASE_TEST_FOLDER_H_
#define FINETUNE_BASE_TEST_FOLDER_H_

#include <string>

namespace finetune {

// Makes the running test's own folder, and empties it where it is there already.
std::string EmptyTestFolder();

}  // namespace finetune

#endif  // FINETUNE_BASE_TEST_FOLDER_H_
