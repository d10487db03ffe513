#ifndef FINETUNE_BASE_GZIP_STREAM_H_
#define FINETUNE_BASE_GZIP_STREAM_H_

#include <zlib.h>

#include <array>
#include <string>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"

namespace finetune {

// Reads a file from its beginning and unpacks it if it is in gzip format. Uses zlib, because
// libarchive's gzip reader accepts a stream whose checksum is wrong or missing.
class GzipStream {
 public:
  explicit GzipStream(std::string path);
  ~GzipStream();
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  // Returns the next bytes; an empty view at the end. They are valid until the next call. Errors:
  // those of SystemError(); DataLoss with the byte offset at which the stream is damaged.
  absl::StatusOr<absl::string_view> Next();

  // Returns whether the file is in gzip format. Call it only after the first Next().
  bool compressed() { return file_ != nullptr && gzdirect(file_) == 0; }

 private:
  const std::string path_;
  gzFile file_;
  const int open_error_;
  std::array<char, 1 << 16> buffer_;
};

}  // namespace finetune

#endif  // FINETUNE_BASE_GZIP_STREAM_H_
