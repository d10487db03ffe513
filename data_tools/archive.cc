#include "data_tools/archive.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/archive_reader.h"
#include "src/base/atomic_file.h"
#include "src/base/fd.h"
#include "src/base/gzip_stream.h"
#include "src/base/system_error.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

constexpr char kGzipEnding[] = ".gz";

// Returns whether the name `file` is NAME or NAME.gz for one of `names`.
bool IsWanted(const std::string& file, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return file == name || file == name + kGzipEnding;
  });
}

absl::StatusOr<std::string> ReadGzip(const std::string& path, size_t max_bytes) {
  GzipStream stream(path);
  std::string bytes;
  while (true) {
    FT_ASSIGN_OR_RETURN(const absl::string_view more, stream.Next());
    if (!stream.compressed()) {
      return absl::DataLossError(absl::StrCat(path, ": byte 0: expected a gzip file"));
    }
    if (more.empty()) return bytes;
    if (bytes.size() + more.size() > max_bytes) return TooManyBytes(path, max_bytes);
    bytes.append(more.data(), more.size());
  }
}

// Decompresses the gzip data `packed`. `where`: the file's name for errors.
absl::StatusOr<std::string> Gunzip(const std::string& where, absl::string_view packed,
                                   size_t max_bytes) {
  constexpr int kGzip = 16;
  z_stream stream = {};
  if (inflateInit2(&stream, MAX_WBITS + kGzip) != Z_OK) {
    return absl::ResourceExhaustedError(absl::StrCat(where, ": no memory to unpack it"));
  }
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, &inflateEnd);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  std::string bytes;
  std::array<char, 1 << 16> chunk;
  while (true) {
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = chunk.size();
    const int code = inflate(&stream, Z_NO_FLUSH);
    const size_t n = chunk.size() - stream.avail_out;
    if (bytes.size() + n > max_bytes) return TooManyBytes(where, max_bytes);
    bytes.append(chunk.data(), n);
    if (code == Z_STREAM_END) return bytes;
    if (code != Z_OK) {
      return absl::DataLossError(
          absl::StrCat(where, ": broken off at byte ", packed.size() - stream.avail_in, ": ",
                       stream.msg != nullptr ? stream.msg : "unexpected end of file"));
    }
  }
}

// Calls `take` with the name, without folders, of each file of an archive. Stops at its first
// error.
template <typename Take>
absl::Status ForEachFileIn(ArchiveReader* reader, Take take) {
  while (true) {
    FT_ASSIGN_OR_RETURN(const std::optional<ArchiveEntry> entry, reader->Next());
    if (!entry.has_value()) return absl::OkStatus();
    if (entry->kind != ArchiveEntry::Kind::kFile || entry->name.empty()) continue;
    FT_RETURN_IF_ERROR(take(fs::path(entry->name).filename().string()));
  }
}

// Calls `take` with the path of each file in a folder and in two levels of subfolders. Stops at its
// first error.
template <typename Take>
absl::Status ForEachFileBelow(const std::string& folder, Take take) {
  std::error_code error;
  fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (it.depth() >= 2) it.disable_recursion_pending();
    std::error_code ignored;
    if (it->is_regular_file(ignored)) FT_RETURN_IF_ERROR(take(it->path()));
  }
  if (error) return SystemError("cannot read", folder, error.value());
  return absl::OkStatus();
}

// Returns the paths of the files NAME and NAME.gz in a folder and two levels of subfolders, for all
// `names`.
absl::StatusOr<std::map<std::string, std::string>> FindNamedFiles(
    const std::string& folder, const std::vector<std::string>& names) {
  std::map<std::string, std::string> found;  // the path of each file, by name
  FT_RETURN_IF_ERROR(ForEachFileBelow(folder, [&](const fs::path& file) -> absl::Status {
    const std::string name = file.filename().string();
    if (!IsWanted(name, names)) return absl::OkStatus();
    const std::string path = file.string();
    const auto [at, is_new] = found.emplace(name, path);
    if (is_new) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(folder, ": has ", std::min(at->second, path),
                                                   " and ", std::max(at->second, path),
                                                   "; give the folder of one"));
  }));
  return found;
}

// Writes a new file. It is not synced to disk, because it is only read once and then removed.
absl::Status WriteNewFile(const std::string& path, absl::string_view bytes) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.ok()) return SystemError("cannot create", path, errno);
  while (!bytes.empty()) {
    const ssize_t n = write(fd.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError("cannot write", path, errno);
    bytes.remove_prefix(n);
  }
  return absl::OkStatus();
}

// Returns true if `input` is a folder, false if it is a file. Errors: NotFound.
absl::StatusOr<bool> IsFolder(const std::string& input) {
  std::error_code error;
  if (!fs::exists(input, error)) {
    return absl::NotFoundError(absl::StrCat("no file or folder ", input));
  }
  return fs::is_directory(input, error);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ListFileNames(const std::string& input) {
  std::set<std::string> names;
  const auto add = [&](const std::string& name) {
    names.emplace(absl::StripSuffix(name, kGzipEnding));
    return absl::OkStatus();
  };
  FT_ASSIGN_OR_RETURN(const bool is_folder, IsFolder(input));
  if (is_folder) {
    FT_RETURN_IF_ERROR(ForEachFileBelow(
        input, [&](const fs::path& path) { return add(path.filename().string()); }));
  } else {
    ArchiveReader reader(input);
    FT_RETURN_IF_ERROR(ForEachFileIn(&reader, add));
  }
  return std::vector<std::string>(names.begin(), names.end());
}

absl::StatusOr<std::map<std::string, NamedFile>> ReadNamedFiles(
    const std::string& input, const std::vector<std::string>& names, size_t max_bytes) {
  std::map<std::string, NamedFile> files;
  size_t left = max_bytes;
  FT_ASSIGN_OR_RETURN(const bool is_folder, IsFolder(input));
  if (!is_folder) {
    const fs::path path(input);
    if (IsWanted(path.filename().string(), names)) {
      return absl::InvalidArgumentError(absl::StrCat(
          input, ": found one file of the data set; expected the folder that holds them all: give ",
          path.has_parent_path() ? path.parent_path().string() : "."));
    }
    ArchiveReader reader(input);
    FT_RETURN_IF_ERROR(ForEachFileIn(&reader, [&](const std::string& entry) -> absl::Status {
      if (!IsWanted(entry, names)) return absl::OkStatus();
      const std::string where = absl::StrCat(input, ": ", entry);
      const bool plain = std::find(names.begin(), names.end(), entry) != names.end();
      const std::string name(plain ? absl::string_view(entry)
                                   : absl::StripSuffix(entry, kGzipEnding));
      if (files.contains(name)) {
        return absl::InvalidArgumentError(absl::StrCat(where, " is there twice"));
      }
      FT_ASSIGN_OR_RETURN(std::string bytes, reader.Read(where, left));
      if (!plain) {
        FT_ASSIGN_OR_RETURN(bytes, Gunzip(where, bytes, left));
      }
      left -= bytes.size();
      files[name] = {where, std::move(bytes)};
      return absl::OkStatus();
    }));
    return files;
  }
  FT_ASSIGN_OR_RETURN(const auto found, FindNamedFiles(input, names));
  for (const std::string& name : names) {
    auto at = found.find(name);
    const bool compressed = at == found.end();
    if (compressed) at = found.find(name + kGzipEnding);
    if (at == found.end()) continue;
    FT_ASSIGN_OR_RETURN(std::string bytes,
                        compressed ? ReadGzip(at->second, left) : ReadFile(at->second, left));
    left -= bytes.size();
    files[name] = {at->second, std::move(bytes)};
  }
  return files;
}

absl::StatusOr<int64_t> UnpackFiles(const std::string& archive, const std::string& folder,
                                    const std::function<bool(const std::string& name)>& wanted,
                                    const std::function<bool(int64_t done)>& progress) {
  constexpr size_t kMostBytes = size_t{1} << 30;
  int64_t done = 0, passed = 0;
  ArchiveReader reader(archive);
  while (true) {
    FT_ASSIGN_OR_RETURN(const std::optional<ArchiveEntry> entry, reader.Next());
    if (!entry.has_value()) return passed;
    const std::string where = absl::StrCat(archive, ": ", entry->name);
    const fs::path relative = fs::path(entry->name).lexically_normal();
    if (entry->name.empty() || relative.is_absolute() ||
        (!relative.empty() && *relative.begin() == "..")) {
      return absl::InvalidArgumentError(absl::StrCat(
          where,
          ": this name leads out of the archive's folder; expected names within it. The "
          "archive may be meant to do harm"));
    }
    if (entry->kind == ArchiveEntry::Kind::kFolder) continue;
    if (entry->kind == ArchiveEntry::Kind::kOther) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": found a device, pipe or socket; expected files and folders"));
    }
    if (entry->kind == ArchiveEntry::Kind::kLink || !wanted(entry->name)) {
      ++passed;
      continue;
    }
    const fs::path path = fs::path(folder) / relative;
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    if (error) return SystemError("cannot create", path.parent_path().string(), error.value());
    if (fs::exists(path, error)) {
      return absl::InvalidArgumentError(absl::StrCat(where, " is there twice"));
    }
    FT_ASSIGN_OR_RETURN(const std::string bytes, reader.Read(where, kMostBytes));
    FT_RETURN_IF_ERROR(WriteNewFile(path.string(), bytes));
    if (!progress(++done)) return absl::CancelledError("stopped; nothing was written");
  }
}

}  // namespace finetune
