#include "src/main/uncaught.h"

#include <c10/util/Exception.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace finetune {
namespace {

std::string Describe() {
  const std::exception_ptr exception = std::current_exception();
  if (exception == nullptr) return "the program ended itself";
  try {
    std::rethrow_exception(exception);
  } catch (const std::bad_alloc& error) {
    return absl::StrCat("out of memory: ", error.what());
  } catch (const c10::Error& error) {
    const std::string what = error.what_without_backtrace();
    return absl::StrContains(what, "can't allocate memory") ? absl::StrCat("out of memory: ", what)
                                                            : what;
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an exception of unknown type";
  }
}

[[noreturn]] void SayAndExit() {
  char host[256] = "?";
  gethostname(host, sizeof(host) - 1);
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  const std::string line =
      absl::StrCat("rank ", rank == nullptr ? "0" : rank, " (host ", host, "): ", Describe(), "\n");
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) std::fputs(line.c_str(), stderr);
  _exit(1);
}

}  // namespace

void NameRankInUncaughtExceptions() { std::set_terminate(SayAndExit); }

}  // namespace finetune
