#ifndef FINETUNE_BASE_ARCHIVE_READER_H_
#define FINETUNE_BASE_ARCHIVE_READER_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "src/base/gzip_stream.h"
#include "src/base/status_macros.h"

struct archive;

namespace finetune {

struct ArchiveEntry {
  enum class Kind { kFile, kFolder, kLink, kOther };  // kOther: a device, a pipe, a socket
  // The name in the archive, which may be an absolute path or contain "..". Empty where the entry
  // has no name.
  std::string name;
  Kind kind = Kind::kOther;
};

// An archive (.tar, .tar.gz, .zip and others that libarchive knows) that is read once, from its
// beginning to its end. The format is found from the content, not from the name. Nothing is
// unpacked to disk.
//
// Errors of all methods name the archive: those of SystemError() where it cannot be read; DataLoss
// with the byte offset where it is damaged or cut off, and for a file that is not an archive.
class ArchiveReader {
 public:
  explicit ArchiveReader(const std::string& path);
  ArchiveReader(const ArchiveReader&) = delete;
  ArchiveReader& operator=(const ArchiveReader&) = delete;

  // Moves to the next entry and returns it. Returns nothing at the end, after all checksums were
  // compared.
  absl::StatusOr<std::optional<ArchiveEntry>> Next();

  // Returns the bytes of the entry that Next() returned last. `where`: the entry's name in errors.
  // Errors: also DataLoss for an entry of more than `max_bytes`.
  absl::StatusOr<std::string> Read(const std::string& where, size_t max_bytes);

 private:
  struct Free {
    void operator()(archive* a) const;
  };

  static long Feed(archive* a, void* self, const void** bytes);  // NOLINT: ssize_t, as libarchive's
  absl::Status Open();
  absl::Status Error();

  const std::string path_;
  GzipStream stream_;
  std::unique_ptr<archive, Free> archive_;
  bool opened_ = false;
  absl::Status feed_error_;
  size_t fed_ = 0;
};

// Returns the DataLoss error for a file that has more bytes than are left for it. `where`: the
// file's name.
absl::Status TooManyBytes(const std::string& where, size_t max_bytes);

}  // namespace finetune

#endif  // FINETUNE_BASE_ARCHIVE_READER_H_
