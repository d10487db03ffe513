#include "src/host/open_files.h"

#include <sys/resource.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

class OpenFilesTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0); }
  void TearDown() override { setrlimit(RLIMIT_NOFILE, &before_); }

  rlimit before_ = {};
};

TEST_F(OpenFilesTest, LeavesALimitThatIsHighEnough) {
  const rlimit enough = {kLeastOpenFiles, before_.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &enough), 0);
  EXPECT_TRUE(AllowOpenFiles().ok());
  rlimit after = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, static_cast<rlim_t>(kLeastOpenFiles));
}

TEST_F(OpenFilesTest, RaisesALimitThatItMayRaise) {
  const rlimit few = {16, before_.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  EXPECT_TRUE(AllowOpenFiles().ok());
  rlimit after = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_GE(after.rlim_cur, static_cast<rlim_t>(kLeastOpenFiles));
}

}  // namespace
}  // namespace finetune
