// Runs bound_rank under a real mpirun.
#include <sched.h>
#include <stdio.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

int Processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof(set), &set);
  return CPU_COUNT(&set);
}

std::string Output(const std::string& flags) {
  const std::string command =
      absl::StrCat("OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun ", flags,
                   " src/host/bound_rank one 'two words' 2>&1");
  FILE* pipe = popen(command.c_str(), "r");
  std::string output;
  char buffer[4096];
  while (size_t n = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, n);
  pclose(pipe);
  return output;
}

TEST(RestartUnbound, GivesARankTheWholeHostInPlaceOfMpirunsOneCore) {
  const std::string output = Output("-np 1");
  EXPECT_THAT(output,
              EndsWith(absl::StrCat("went on: ", Processors(), " processors [one] [two words]\n")));
  // The restarted program must not restart again.
  EXPECT_EQ(output.find("went on"), output.rfind("went on")) << output;
}

TEST(RestartUnbound, LeavesABindingThatWasAskedFor) {
  const std::string output = Output("-np 1 --bind-to core");
  EXPECT_EQ(output.find("started"), output.rfind("started")) << output;
  if (Processors() > 2) {
    EXPECT_THAT(output, Not(HasSubstr(absl::StrCat(" ", Processors(), " processors"))));
  }
}

TEST(RestartUnbound, StartsNothingAgainWithoutMpirun) {
  FILE* pipe = popen("src/host/bound_rank", "r");
  char line[100] = {};
  ASSERT_NE(fgets(line, sizeof(line), pipe), nullptr);
  EXPECT_THAT(line, HasSubstr("started"));
  ASSERT_NE(fgets(line, sizeof(line), pipe), nullptr);
  EXPECT_THAT(line, HasSubstr("went on"));
  EXPECT_EQ(pclose(pipe), 0);
}

}  // namespace
}  // namespace finetune
