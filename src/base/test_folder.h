#ifndef FINETUNE_BASE_TEST_FOLDER_H_
#define FINETUNE_BASE_TEST_FOLDER_H_

#include <string>

namespace finetune {

// Returns a folder of the running test's own. It is made, or emptied where it exists.
std::string EmptyTestFolder();

}  // namespace finetune

#endif  // FINETUNE_BASE_TEST_FOLDER_H_
