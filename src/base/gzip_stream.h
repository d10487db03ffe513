#ifndef FINETUNE_BASE_GZIP_STREAM_H_
#define FINETUNE_BASE_GZIP_STREAM_H_

#include <zlib.h>

#include <array>
#include <string>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"

namespace finetune {

// The bytes of a file, unpacked where it is gzip. libarchive's own gzip takes a stream whose
// checksum is wrong or missing for a whole one; zlib does not.
class GzipStream {
 public:
  explicit GzipStream(std::string path);
  ~GzipStream();
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  // Returns some more bytes, which stay until the next call; none at the end. Errors: those of
  // SystemError; DataLoss with the byte at which the stream is damaged.
  absl::StatusOr<absl::string_view> Next();

  // Whether it is gzip. Known after the first Next().
  bool compressed() { return file_ != nullptr && gzdirect(file_) == 0; }

 private:
  const std::string path_;
  gzFile file_;
  const int open_error_;
  std::array<char, 1 << 16> buffer_;
};

}  // namespace finetune

#endif  // FINETUNE_BASE_GZIP_STREAM_H_
