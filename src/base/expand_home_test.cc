#include "src/base/expand_home.h"

#include <cstdlib>

#include "gtest/gtest.h"

namespace finetune {
namespace {

class ExpandHomeTest : public testing::Test {
 protected:
  void SetUp() override { setenv("HOME", "/home/ann", 1); }
};

TEST_F(ExpandHomeTest, ReplacesALeadingTilde) {
  EXPECT_EQ(*ExpandHome("~"), "/home/ann");
  EXPECT_EQ(*ExpandHome("~/"), "/home/ann/");
  EXPECT_EQ(*ExpandHome("~/runs/a b"), "/home/ann/runs/a b");
}

TEST_F(ExpandHomeTest, KeepsEveryOtherPath) {
  for (const char* path : {"", "runs", "/x/~/y", "./~", "runs~", "a/~"}) {
    EXPECT_EQ(*ExpandHome(path), path);
  }
}

TEST_F(ExpandHomeTest, RefusesAnotherUsersHome) {
  EXPECT_EQ(ExpandHome("~bob/runs").status().message(),
            "~bob/runs: found another user's home folder; expected ~/ or a path without ~. Write "
            "the whole path (a folder of this name here is ./~bob/runs)");
}

TEST_F(ExpandHomeTest, RefusesATildeWithoutHome) {
  unsetenv("HOME");
  EXPECT_EQ(ExpandHome("~/runs").status().message(),
            "~/runs: ~ stands for HOME, which the environment does not set. Write the whole path");
  setenv("HOME", "", 1);
  EXPECT_EQ(ExpandHome("~").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(*ExpandHome("runs"), "runs");
}

}  // namespace
}  // namespace finetune
