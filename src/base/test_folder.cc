#include "src/base/test_folder.h"

#include <filesystem>

#include "gtest/gtest.h"

namespace finetune {

std::string EmptyTestFolder() {
  namespace fs = std::filesystem;
  const char* name = testing::UnitTest::GetInstance()->current_test_info()->name();
  const fs::path folder = (fs::path(testing::TempDir()) / name).lexically_normal();
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder.string();
}

}  // namespace finetune
