// Runs the program, whose OpenMP runtime prints its settings when it is loaded.
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using ::testing::Contains;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string Settings(const std::string& environment) {
  FILE* pipe = popen(
      (environment + " OMP_DISPLAY_ENV=VERBOSE src/main/finetune --version 2>&1").c_str(), "r");
  std::string output;
  char buffer[4096];
  while (size_t n = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, n);
  EXPECT_EQ(pclose(pipe), 0) << output;
  return output;
}

TEST(BoundSpinningTest, ThreadsSpinBriefly) {
  for (const char* lent : {"_", "SHLVL", "OLDPWD", "PWD", "HOSTNAME", "LOGNAME", "USER"}) {
    EXPECT_THAT(Settings(absl::StrCat("env -i A=1 ", lent, "=2 B=3")),
                HasSubstr("GOMP_SPINCOUNT = '10000'"))
        << lent;
  }
}

TEST(BoundSpinningTest, WhatTheUserHasSetHolds) {
  EXPECT_THAT(Settings("GOMP_SPINCOUNT=77"), HasSubstr("GOMP_SPINCOUNT = '77'"));
  EXPECT_THAT(Settings("env -u GOMP_SPINCOUNT OMP_WAIT_POLICY=active"),
              Not(HasSubstr("GOMP_SPINCOUNT = '10000'")));
}

TEST(BoundSpinningTest, RunsInAnEmptyEnvironment) {
  EXPECT_THAT(Settings("env -i"), HasSubstr(", build "));
}

// bound_spinning.cc is linked into this test too. The kernel keeps the environment that a process
// was started with.
TEST(BoundSpinningTest, MainSeesTheEnvironmentAsItWas) {
  std::ifstream file("/proc/self/environ", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::vector<std::string> started_with = absl::StrSplit(bytes, '\0', absl::SkipEmpty());
  EXPECT_THAT(started_with, Contains(StartsWith("PWD=")));
  std::vector<std::string> now;
  for (char** entry = environ; *entry != nullptr; ++entry) now.push_back(*entry);
  EXPECT_THAT(now, ElementsAreArray(started_with));
}

}  // namespace
}  // namespace finetune
