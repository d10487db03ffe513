#include "src/main/uncaught.h"

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>

#include "absl/strings/str_cat.h"
#include "src/host/launch_environment.h"
#include "src/train/torch_error.h"

namespace finetune {
namespace {

std::string Describe() {
  if (std::current_exception() == nullptr) return "the program ended itself";
  return std::string(CurrentException().message());
}

[[noreturn]] void SayAndExit() {
  char host[256] = "?";
  gethostname(host, sizeof(host) - 1);
  const std::string line =
      absl::StrCat("rank ", LaunchRank(), " (host ", host, "): ", Describe(), "\n");
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) std::fputs(line.c_str(), stderr);
  _exit(1);
}

}  // namespace

void NameRankInUncaughtExceptions() { std::set_terminate(SayAndExit); }

}  // namespace finetune
