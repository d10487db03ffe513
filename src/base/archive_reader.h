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
  // As the archive has it, so it may lead anywhere. Empty where it has none.
  std::string name;
  Kind kind = Kind::kOther;
};

// An archive (.tar, .tar.gz, .zip and others that libarchive knows) that is read from its beginning
// to its end. Its content tells the kind. Nothing is unpacked to disk.
//
// Errors of all methods name the archive: those of SystemError where it cannot be read; DataLoss
// with the byte where it is damaged or cut off, and for a file that is not an archive.
class ArchiveReader {
 public:
  explicit ArchiveReader(const std::string& path);
  ArchiveReader(const ArchiveReader&) = delete;
  ArchiveReader& operator=(const ArchiveReader&) = delete;

  // Goes to the next entry. Returns nothing at the end, where all checksums have been compared.
  absl::StatusOr<std::optional<ArchiveEntry>> Next();

  // Returns the bytes of the entry that Next() returned. `where`: for errors. Errors: also DataLoss
  // for more than `max_bytes`.
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

// DataLoss: a file that has more bytes than are read.
absl::Status TooManyBytes(const std::string& where, size_t max_bytes);

}  // namespace finetune

#endif  // FINETUNE_BASE_ARCHIVE_READER_H_
