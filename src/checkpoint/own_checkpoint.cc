#include "src/checkpoint/own_checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "src/base/annotate.h"
#include "src/base/fd.h"
#include "src/base/status_macros.h"
#include "src/base/system_error.h"
#include "src/base/version.h"

namespace finetune {
namespace {

// The number of bytes at the beginning of the file that are searched. The ZIP archive's first
// header and its padding take at most 128 of them.
constexpr size_t kHeadBytes = 1024;

const Value* FirstEntry(const Value& value, absl::string_view key) {
  if (value.dict() == nullptr || value.dict()->entries().empty()) return nullptr;
  const auto& [name, entry] = value.dict()->entries().front();
  return name.string() != nullptr && *name.string() == key ? &entry : nullptr;
}

}  // namespace

void AppendWriter(Value::Dict* meta) {
  meta->Append("writer", kFinetuneWriter);
  meta->Append("format_version", kCheckpointFormatVersion);
}

bool NamesOwnWriter(const Value& meta) {
  const absl::StatusOr<std::string> writer = meta.GetString("writer");
  return writer.ok() && IsOwnWriter(*writer);
}

bool IsExported(const Value& meta) {
  return NamesOwnWriter(meta) && absl::IsNotFound(meta.Get("iteration").status());
}

absl::Status CheckCheckpointVersion(const Value& meta) {
  if (!NamesOwnWriter(meta)) return absl::OkStatus();
  const absl::StatusOr<int64_t> format = meta.GetInt("format_version");
  if (absl::IsNotFound(format.status())) return absl::OkStatus();
  FT_RETURN_IF_ERROR(format.status());
  return Annotate(
      CheckFormatVersion(*format, kCheckpointFormatVersion, Printable(*meta.GetString("writer"))),
      "meta.format_version");
}

absl::Status CheckNamesWriter(const Value& root) {
  const Value* meta = FirstEntry(root, "meta");
  if (meta != nullptr && FirstEntry(*meta, "writer") != nullptr && NamesOwnWriter(*meta)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "a checkpoint's first entry must be meta.writer, a string that begins with \"finetune \"");
}

absl::StatusOr<bool> IsOwnCheckpoint(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.ok()) {
    if (errno == ENOENT || errno == ELOOP || errno == ENXIO) return false;
    return SystemError("cannot open", path, errno);
  }
  std::string head(kHeadBytes, '\0');
  const ssize_t n = TEMP_FAILURE_RETRY(pread(fd.get(), head.data(), head.size(), 0));
  if (n < 0 && errno == EISDIR) return false;
  if (n < 0) return SystemError("cannot read", path, errno);
  head.resize(n);
  if (std::all_of(head.begin(), head.end(), [](char byte) { return byte == '\0'; })) return true;
  // The key "writer" as it is pickled, up to the opcode of its value. Then follow the value's
  // length in 4 bytes and the value.
  const absl::string_view key("X\x06\0\0\0writerX", 12);
  const size_t found = absl::string_view(head).find(key);
  return found != absl::string_view::npos &&
         IsOwnWriter(absl::string_view(head).substr(std::min(head.size(), found + key.size() + 4)));
}

}  // namespace finetune
