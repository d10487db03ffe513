#include "src/base/archive_reader.h"

#include <archive.h>
#include <archive_entry.h>

#include <array>
#include <cerrno>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace finetune {
namespace {

static_assert(std::is_same_v<la_ssize_t, long>);  // NOLINT: as Feed() is declared

ArchiveEntry::Kind KindOf(archive_entry* entry) {
  const auto type = archive_entry_filetype(entry);
  if (type == AE_IFDIR) return ArchiveEntry::Kind::kFolder;
  if (type == AE_IFLNK || archive_entry_hardlink(entry) != nullptr) {
    return ArchiveEntry::Kind::kLink;
  }
  return type == AE_IFREG ? ArchiveEntry::Kind::kFile : ArchiveEntry::Kind::kOther;
}

}  // namespace

void ArchiveReader::Free::operator()(archive* a) const { archive_read_free(a); }

ArchiveReader::ArchiveReader(const std::string& path)
    : path_(path), stream_(path), archive_(archive_read_new()) {}

absl::Status ArchiveReader::Open() {
  archive_read_support_filter_all(archive_.get());
  archive_read_support_format_tar(archive_.get());
  archive_read_support_format_zip(archive_.get());
  if (archive_read_open(archive_.get(), this, nullptr, &ArchiveReader::Feed, nullptr) ==
      ARCHIVE_OK) {
    return absl::OkStatus();
  }
  if (!feed_error_.ok()) return feed_error_;
  return absl::InvalidArgumentError(
      absl::StrCat(path_, ": found ",
                   fed_ == 0 ? "an empty file"
                             : absl::StrCat("a file that is not an archive (",
                                            archive_error_string(archive_.get()), ")"),
                   "; expected a folder, or a .tar, .tar.gz or .zip"));
}

absl::StatusOr<std::optional<ArchiveEntry>> ArchiveReader::Next() {
  if (!opened_) {
    FT_RETURN_IF_ERROR(Open());
    opened_ = true;
  }
  archive_entry* entry = nullptr;
  const int code = archive_read_next_header(archive_.get(), &entry);
  if (code == ARCHIVE_EOF) {
    // Reads to the end of the file, because gzip's checksum comes after the archive's end mark.
    while (true) {
      FT_ASSIGN_OR_RETURN(const absl::string_view rest, stream_.Next());
      if (rest.empty()) return std::nullopt;
    }
  }
  // libarchive's warnings are about names or attributes that this system cannot express. They are
  // ignored.
  if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return Error();
  const char* const name = archive_entry_pathname(entry);
  return ArchiveEntry{name == nullptr ? "" : name, KindOf(entry)};
}

absl::StatusOr<std::string> ArchiveReader::Read(const std::string& where, size_t max_bytes) {
  std::string bytes;
  std::array<char, 1 << 16> chunk;
  while (true) {
    const la_ssize_t n = archive_read_data(archive_.get(), chunk.data(), chunk.size());
    if (n < 0) return Error();
    if (n == 0) return bytes;
    if (bytes.size() + n > max_bytes) return TooManyBytes(where, max_bytes);
    bytes.append(chunk.data(), n);
  }
}

la_ssize_t ArchiveReader::Feed(archive* a, void* self, const void** bytes) {
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

absl::Status ArchiveReader::Error() {
  if (!feed_error_.ok()) return feed_error_;
  return absl::DataLossError(absl::StrCat(path_, ": broken off at byte ", fed_,
                                          stream_.compressed() ? " of what is in it: " : ": ",
                                          archive_error_string(archive_.get())));
}

absl::Status TooManyBytes(const std::string& where, size_t max_bytes) {
  return absl::DataLossError(
      absl::StrCat(where, ": has more than the ", max_bytes, " bytes that are left for it"));
}

}  // namespace finetune
