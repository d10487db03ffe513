#include "src/base/print_output.h"

#include <cerrno>
#include <cstdio>

#include "src/base/system_error.h"

namespace finetune {

absl::Status PrintOutput(absl::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) {
    return absl::OkStatus();
  }
  return SystemError("cannot write to", "standard output", errno);
}

}  // namespace finetune
