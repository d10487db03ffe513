// A program for restart_unbound_test. It prints the number of processors that it may run on and its
// arguments, before and after RestartUnbound().
#include <sched.h>

#include <cstdio>

#include "src/host/affinity.h"

namespace {

void Say(const char* when, char** argv) {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof(set), &set);
  std::printf("%s: %d processors", when, CPU_COUNT(&set));
  for (char** argument = argv + 1; *argument != nullptr; ++argument) {
    std::printf(" [%s]", *argument);
  }
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace

int main(int /*argc*/, char** argv) {
  Say("started", argv);
  finetune::RestartUnbound(argv);
  Say("went on", argv);
  return 0;
}
