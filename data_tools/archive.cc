#include "data_tools/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/atomic_file.h"
#include "src/base/fd.h"
#include "src/base/system_error.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// Reads a file and decompresses it if it is gzip. libarchive's gzip reader accepts a stream whose
// checksum is wrong or missing; zlib does not.
class GzipStream {
 public:
  explicit GzipStream(std::string path)
      : path_(std::move(path)), file_(gzopen(path_.c_str(), "rb")), open_error_(errno) {}
  ~GzipStream() {
    if (file_ != nullptr) gzclose_r(file_);
  }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  // Returns the next bytes, which are valid until the next call. Returns "" at the end of the file.
  absl::StatusOr<absl::string_view> Next() {
    if (file_ == nullptr) return SystemError("cannot open", path_, open_error_);
    const int n = gzread(file_, buffer_.data(), static_cast<unsigned>(buffer_.size()));
    int error = Z_OK;
    const char* const reason = gzerror(file_, &error);
    if (n < 0 || (error != Z_OK && error != Z_STREAM_END)) {
      return absl::DataLossError(absl::StrCat(
          path_, ": broken off at byte ", gzoffset(file_), ": ",
          error == Z_ERRNO ? std::strerror(errno) : absl::StripPrefix(reason, path_ + ": ")));
    }
    return absl::string_view(buffer_.data(), n);
  }

  bool compressed() { return file_ != nullptr && gzdirect(file_) == 0; }

 private:
  std::string path_;
  gzFile file_;
  int open_error_;
  std::array<char, 1 << 16> buffer_;
};

constexpr char kGzipEnding[] = ".gz";

// Returns whether `file` is NAME or NAME.gz for one of the names.
bool IsWanted(const std::string& file, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return file == name || file == name + kGzipEnding;
  });
}

absl::Status TooLarge(const std::string& where, size_t max_bytes) {
  return absl::DataLossError(
      absl::StrCat(where, ": has more than the ", max_bytes, " bytes that are left for it"));
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
    if (bytes.size() + more.size() > max_bytes) return TooLarge(path, max_bytes);
    bytes.append(more.data(), more.size());
  }
}

// Decompresses gzip data in memory. `where` is for errors.
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
    if (bytes.size() + n > max_bytes) return TooLarge(where, max_bytes);
    bytes.append(chunk.data(), n);
    if (code == Z_STREAM_END) return bytes;
    if (code != Z_OK) {
      return absl::DataLossError(
          absl::StrCat(where, ": broken off at byte ", packed.size() - stream.avail_in, ": ",
                       stream.msg != nullptr ? stream.msg : "unexpected end of file"));
    }
  }
}

// Reads an archive from its beginning to its end.
class ArchiveReader {
 public:
  explicit ArchiveReader(const std::string& path)
      : path_(path), stream_(path), archive_(archive_read_new()) {}

  // Calls `take` with the name of each file, without its folder.
  template <typename Take>
  absl::Status ForEachFile(Take take) {
    return ForEachEntry([&](archive_entry* entry) -> absl::Status {
      const char* const name = archive_entry_pathname(entry);
      if (name == nullptr || archive_entry_filetype(entry) != AE_IFREG) return absl::OkStatus();
      return take(fs::path(name).filename().string());
    });
  }

  template <typename Take>
  absl::Status ForEachEntry(Take take) {
    archive_read_support_filter_all(archive_.get());
    archive_read_support_format_tar(archive_.get());
    archive_read_support_format_zip(archive_.get());
    if (archive_read_open(archive_.get(), this, nullptr, &ArchiveReader::Feed, nullptr) !=
        ARCHIVE_OK) {
      if (!feed_error_.ok() || fed_ == 0) return Error();
      return absl::DataLossError(absl::StrCat(path_, ": found a file that is not an archive (",
                                              archive_error_string(archive_.get()),
                                              "); expected a folder, or a .tar, .tar.gz or .zip"));
    }
    archive_entry* entry = nullptr;
    while (true) {
      const int code = archive_read_next_header(archive_.get(), &entry);
      if (code == ARCHIVE_EOF) break;
      // libarchive warns of a name or an attribute that this system cannot express. This is not an
      // error.
      if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return Error();
      FT_RETURN_IF_ERROR(take(entry));
    }
    // The gzip checksum comes after the archive's end mark, so the rest of the file is read to
    // check it.
    while (true) {
      FT_ASSIGN_OR_RETURN(const absl::string_view rest, stream_.Next());
      if (rest.empty()) return absl::OkStatus();
    }
  }

  absl::StatusOr<std::string> Read(const std::string& where, size_t max_bytes) {
    std::string bytes;
    std::array<char, 1 << 16> chunk;
    while (true) {
      const la_ssize_t n = archive_read_data(archive_.get(), chunk.data(), chunk.size());
      if (n < 0) return Error();
      if (n == 0) return bytes;
      if (bytes.size() + n > max_bytes) return TooLarge(where, max_bytes);
      bytes.append(chunk.data(), n);
    }
  }

 private:
  struct Free {
    void operator()(archive* a) const { archive_read_free(a); }
  };

  static la_ssize_t Feed(archive* a, void* self, const void** bytes) {
    auto* reader = static_cast<ArchiveReader*>(self);
    const absl::StatusOr<absl::string_view> next = reader->stream_.Next();
    if (!next.ok()) {
      reader->feed_error_ = next.status();
      archive_set_error(a, EIO, "cannot read");
      return ARCHIVE_FATAL;
    }
    *bytes = next->data();
    reader->fed_ += next->size();
    return static_cast<la_ssize_t>(next->size());
  }

  absl::Status Error() {
    if (!feed_error_.ok()) return feed_error_;
    return absl::DataLossError(absl::StrCat(path_, ": broken off at byte ", fed_,
                                            stream_.compressed() ? " of what is in it: " : ": ",
                                            archive_error_string(archive_.get())));
  }

  std::string path_;
  GzipStream stream_;
  std::unique_ptr<archive, Free> archive_;
  absl::Status feed_error_;
  size_t fed_ = 0;
};

// Calls `take` with the path of each file in a folder and in two levels of folders in it.
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

// Returns the paths of the files NAME and NAME.gz in a folder, for all `names`.
absl::StatusOr<std::map<std::string, std::string>> FindNamedFiles(
    const std::string& folder, const std::vector<std::string>& names) {
  std::map<std::string, std::string> found;  // by file name; NAME.gz is an entry of its own
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

// Writes a file without a sync to disk, because the file is read once and then removed.
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
    FT_RETURN_IF_ERROR(ArchiveReader(input).ForEachFile(add));
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
    FT_RETURN_IF_ERROR(reader.ForEachFile([&](const std::string& entry) -> absl::Status {
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
  FT_RETURN_IF_ERROR(reader.ForEachEntry([&](archive_entry* entry) -> absl::Status {
    const char* const pathname = archive_entry_pathname(entry);
    const std::string name = pathname == nullptr ? "" : pathname;
    const std::string where = absl::StrCat(archive, ": ", name);
    const fs::path relative = fs::path(name).lexically_normal();
    if (name.empty() || relative.is_absolute() ||
        (!relative.empty() && *relative.begin() == "..")) {
      return absl::InvalidArgumentError(absl::StrCat(
          where,
          ": this name leads out of the archive's folder; expected names within it. The "
          "archive may be meant to do harm"));
    }
    const auto type = archive_entry_filetype(entry);
    const bool is_link = type == AE_IFLNK || archive_entry_hardlink(entry) != nullptr;
    if (type == AE_IFDIR) return absl::OkStatus();
    if (type != AE_IFREG && !is_link) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": found a device, pipe or socket; expected files and folders"));
    }
    if (is_link || !wanted(name)) {
      ++passed;
      return absl::OkStatus();
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
    return progress(++done) ? absl::OkStatus()
                            : absl::CancelledError("stopped; nothing was written");
  }));
  return passed;
}

}  // namespace finetune
