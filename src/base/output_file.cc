#include "src/base/output_file.h"

#include <cstddef>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/status_macros.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// Returns whether the paths lead to the same file, which need not exist.
bool IsSameFile(const std::string& left, const std::string& right) {
  std::error_code error;
  if (fs::equivalent(left, right, error)) return true;
  const fs::path a = fs::weakly_canonical(fs::absolute(left, error), error);
  const fs::path b = fs::weakly_canonical(fs::absolute(right, error), error);
  return !a.empty() && a == b;
}

absl::Status CheckOutput(const OutputFile& output, bool force,
                         const std::vector<std::string>& inputs) {
  const std::string& path = output.path;
  for (const std::string& input : inputs) {
    if (!input.empty() && IsSameFile(path, input)) {
      return absl::InvalidArgumentError(absl::StrCat(
          output.flag, ": found ", path, ", which this command reads; expected another path"));
    }
  }
  std::error_code error;
  const fs::path folder = fs::path(path).parent_path();
  if (!folder.empty() && !fs::is_directory(folder, error)) {
    return absl::InvalidArgumentError(absl::StrCat(output.flag, ": found ", path, ", whose folder ",
                                                   folder.string(), " is not there; create it"));
  }
  // Also tells that the path is a folder, a device or a pipe. The trial file is deleted with this
  // temporary object.
  FT_RETURN_IF_ERROR(Annotate(AtomicFile::Create(path).status(), output.flag));
  if (force || !fs::exists(path, error)) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat(output.flag, ": found ", path,
                                               ", which is there already; give another path, or "
                                               "--force to replace it"));
}

}  // namespace

absl::Status CheckOutputs(const std::vector<OutputFile>& outputs, bool force,
                          const std::vector<std::string>& inputs) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].path.empty()) continue;
    FT_RETURN_IF_ERROR(CheckOutput(outputs[i], force, inputs));
    for (size_t k = 0; k < i; ++k) {
      if (outputs[k].path.empty() || !IsSameFile(outputs[i].path, outputs[k].path)) continue;
      return absl::InvalidArgumentError(absl::StrCat(outputs[i].flag, ": found ", outputs[i].path,
                                                     ", which ", outputs[k].flag,
                                                     " names too; expected a file of its own"));
    }
  }
  return absl::OkStatus();
}

}  // namespace finetune
