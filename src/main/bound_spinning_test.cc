// Runs the program, whose OpenMP runtime prints its settings when it is loaded.
#include <cstdio>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

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
  const std::string settings = Settings("env -u GOMP_SPINCOUNT -u OMP_WAIT_POLICY");
  EXPECT_THAT(settings, HasSubstr("GOMP_SPINCOUNT = '10000'"));
  // The program's own output appears only once, although the program starts itself again.
  EXPECT_THAT(settings, HasSubstr(", build "));
  EXPECT_EQ(settings.find(", build "), settings.rfind(", build "));
}

TEST(BoundSpinningTest, WhatTheUserHasSetHolds) {
  EXPECT_THAT(Settings("GOMP_SPINCOUNT=77"), HasSubstr("GOMP_SPINCOUNT = '77'"));
  EXPECT_THAT(Settings("env -u GOMP_SPINCOUNT OMP_WAIT_POLICY=active"),
              Not(HasSubstr("GOMP_SPINCOUNT = '10000'")));
}

TEST(BoundSpinningTest, WorksInAnEmptyEnvironment) {
  EXPECT_THAT(Settings("env -i"), HasSubstr("GOMP_SPINCOUNT = '10000'"));
}

}  // namespace
}  // namespace finetune
