#include "src/base/gzip_stream.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/system_error.h"

namespace finetune {

GzipStream::GzipStream(std::string path)
    : path_(std::move(path)), file_(gzopen(path_.c_str(), "rb")), open_error_(errno) {}

GzipStream::~GzipStream() {
  if (file_ != nullptr) gzclose_r(file_);
}

absl::StatusOr<absl::string_view> GzipStream::Next() {
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

}  // namespace finetune
