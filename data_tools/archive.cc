#include "data_tools/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/atomic_file.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// The largest file that any of the data sets has is 47 MB (MNIST's training pictures).
constexpr size_t kMaxFileBytes = size_t{1} << 30;

struct CloseArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};

absl::StatusOr<std::string> ReadEntry(archive* a, const std::string& path) {
  std::string bytes;
  std::array<char, 1 << 16> chunk;
  while (true) {
    const la_ssize_t n = archive_read_data(a, chunk.data(), chunk.size());
    if (n < 0) {
      return absl::DataLossError(absl::StrCat(path, ": broken off at byte ",
                                              archive_filter_bytes(a, -1), ": ",
                                              archive_error_string(a)));
    }
    if (n == 0) return bytes;
    if (bytes.size() + n > kMaxFileBytes) {
      return absl::DataLossError(
          absl::StrCat(path, ": holds a file larger than ", kMaxFileBytes, " bytes"));
    }
    bytes.append(chunk.data(), n);
  }
}

// Calls `take` for each file of an archive; a file that is only compressed has the name "data".
template <typename Take>
absl::Status ForEachEntry(const std::string& path, bool raw, Take take) {
  const std::unique_ptr<archive, CloseArchive> a(archive_read_new());
  archive_read_support_filter_all(a.get());
  if (raw) {
    archive_read_support_format_raw(a.get());
  } else {
    archive_read_support_format_tar(a.get());
    archive_read_support_format_zip(a.get());
  }
  if (archive_read_open_filename(a.get(), path.c_str(), 1 << 16) != ARCHIVE_OK) {
    return absl::DataLossError(absl::StrCat(path, ": ", archive_error_string(a.get())));
  }
  archive_entry* entry = nullptr;
  while (true) {
    const int code = archive_read_next_header(a.get(), &entry);
    if (code == ARCHIVE_EOF) return absl::OkStatus();
    if (code != ARCHIVE_OK) {
      return absl::DataLossError(absl::StrCat(path, ": broken off at byte ",
                                              archive_filter_bytes(a.get(), -1), ": ",
                                              archive_error_string(a.get())));
    }
    FT_RETURN_IF_ERROR(take(a.get(), fs::path(archive_entry_pathname(entry)).filename().string()));
  }
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> ReadNamedFiles(
    const std::string& input, const std::vector<std::string>& names) {
  std::map<std::string, std::string> files;
  std::error_code error;
  if (!fs::exists(input, error))
    return absl::NotFoundError(absl::StrCat("no file or folder ", input));
  if (!fs::is_directory(input, error)) {
    FT_RETURN_IF_ERROR(ForEachEntry(
        input, /*raw=*/false, [&](archive* a, const std::string& name) -> absl::Status {
          if (std::find(names.begin(), names.end(), name) == names.end()) return absl::OkStatus();
          FT_ASSIGN_OR_RETURN(files[name], ReadEntry(a, input));
          return absl::OkStatus();
        }));
    return files;
  }
  fs::recursive_directory_iterator it(input, fs::directory_options::skip_permission_denied, error);
  for (; it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (error) break;
    if (it.depth() > 2) it.disable_recursion_pending();
    const std::string path = it->path().string();
    std::string name = it->path().filename().string();
    const bool compressed = absl::EndsWith(name, ".gz");
    if (compressed) name = std::string(absl::StripSuffix(name, ".gz"));
    if (!it->is_regular_file(error) || files.contains(name) ||
        std::find(names.begin(), names.end(), name) == names.end()) {
      continue;
    }
    if (compressed) {
      FT_RETURN_IF_ERROR(
          ForEachEntry(path, /*raw=*/true, [&](archive* a, const std::string&) -> absl::Status {
            FT_ASSIGN_OR_RETURN(files[name], ReadEntry(a, path));
            return absl::OkStatus();
          }));
    } else {
      FT_ASSIGN_OR_RETURN(files[name], ReadFile(path, kMaxFileBytes));
    }
  }
  return files;
}

}  // namespace finetune
