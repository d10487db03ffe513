#include "src/observe/status_files.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "src/base/atomic_file.h"
#include "src/base/status_macros.h"
#include "src/observe/open_metrics.h"

namespace finetune {
namespace {

absl::Status Replace(const std::string& path, absl::string_view text) {
  FT_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  FT_RETURN_IF_ERROR(file.Write(text));
  return file.CommitUnsynced();
}

std::string Absolute(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.lexically_normal().string();
}

}  // namespace

StatusFiles::StatusFiles(const std::string& work_dir) : work_dir_(Absolute(work_dir)) {}

absl::Status StatusFiles::Write(RunStatus status, absl::Time now) {
  last_ = now;
  status.updated_unix_s = static_cast<double>(absl::ToUnixMillis(now)) / 1000;
  FT_RETURN_IF_ERROR(Replace(absl::StrCat(work_dir_, "/status.json"), ToJson(status)));
  return Replace(absl::StrCat(work_dir_, "/metrics.prom"), ToOpenMetrics(status, work_dir_));
}

}  // namespace finetune
