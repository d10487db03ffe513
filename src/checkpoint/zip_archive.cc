#include "src/checkpoint/zip_archive.h"

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/checkpoint/value.h"

namespace finetune {
namespace {

std::string Message(zip_error_t* error) { return zip_error_strerror(error); }

}  // namespace

absl::StatusOr<ZipArchive> ZipArchive::Open(const std::string& path, uint64_t file_size) {
  int code = 0;
  zip_t* zip = zip_open(path.c_str(), ZIP_RDONLY, &code);
  if (zip == nullptr) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    const std::string message = Message(&error);
    zip_error_fini(&error);
    return absl::DataLossError(
        absl::StrCat("it is damaged or cut off: its ZIP directory cannot be read (", message, ")"));
  }
  return ZipArchive(zip, file_size);
}

ZipArchive::ZipArchive(zip_t* zip, uint64_t file_size)
    : zip_(zip), file_size_(file_size), bytes_left_(file_size) {
  const zip_int64_t n = zip_get_num_entries(zip, 0);
  for (zip_int64_t i = 0; i < n && !is_checked_; ++i) {
    zip_stat_t info;
    zip_stat_init(&info);
    is_checked_ = zip_stat_index(zip, i, 0, &info) == 0 && info.crc != 0;
  }
}

std::vector<std::string> ZipArchive::Names() const {
  std::vector<std::string> names;
  const zip_int64_t n = zip_get_num_entries(zip_.get(), 0);
  for (zip_int64_t i = 0; i < n; ++i) {
    const char* name = zip_get_name(zip_.get(), i, ZIP_FL_ENC_RAW);
    if (name != nullptr) names.emplace_back(name);
  }
  return names;
}

bool ZipArchive::Has(const std::string& name) const {
  return zip_name_locate(zip_.get(), name.c_str(), ZIP_FL_ENC_RAW) >= 0;
}

absl::StatusOr<uint64_t> ZipArchive::Size(const std::string& name) const {
  zip_stat_t info;
  zip_stat_init(&info);
  if (zip_stat(zip_.get(), name.c_str(), ZIP_FL_ENC_RAW, &info) != 0) {
    return absl::NotFoundError(absl::StrCat("it has no entry \"", Printable(name), "\""));
  }
  constexpr zip_uint64_t kNeeded =
      ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
  if ((info.valid & kNeeded) != kNeeded || info.comp_method != ZIP_CM_STORE ||
      info.encryption_method != ZIP_EM_NONE || info.comp_size != info.size) {
    return absl::InvalidArgumentError(
        absl::StrCat("its entry \"", Printable(name),
                     "\" is compressed or encrypted, which torch.save never does; load and save it "
                     "again with Python's torch"));
  }
  if (info.size > file_size_) {
    return absl::InvalidArgumentError(absl::StrCat("its entry \"", Printable(name), "\" claims ",
                                                   info.size, " bytes, but the file has ",
                                                   file_size_));
  }
  return info.size;
}

absl::Status ZipArchive::Read(const std::string& name, void* to, uint64_t size) {
  if (size > bytes_left_) {
    return absl::InvalidArgumentError("its entries together are larger than the file");
  }
  bytes_left_ -= size;
  struct Close {
    void operator()(zip_file_t* file) const { zip_fclose(file); }
  };
  const std::unique_ptr<zip_file_t, Close> file(
      zip_fopen(zip_.get(), name.c_str(), ZIP_FL_ENC_RAW));
  if (file == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("its entry \"", Printable(name),
                                                   "\" cannot be read (",
                                                   Message(zip_get_error(zip_.get())), ")"));
  }
  char* out = static_cast<char*>(to);
  uint64_t done = 0;
  while (done < size) {
    const zip_int64_t got = zip_fread(file.get(), out + done, size - done);
    if (got <= 0) break;
    done += got;
  }
  // libzip checks the CRC-32 only when a read reaches the end of the entry. So one more byte is
  // asked for.
  char extra;
  zip_int64_t end = done == size ? 0 : -1;
  if (end == 0 && is_checked_) end = zip_fread(file.get(), &extra, 1);
  if (end != 0) {
    return absl::DataLossError(absl::StrCat("its entry \"", Printable(name), "\" is damaged (",
                                            Message(zip_file_get_error(file.get())), ")"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ZipArchive::Read(const std::string& name) {
  FT_ASSIGN_OR_RETURN(const uint64_t size, Size(name));
  std::string bytes(size, '\0');
  FT_RETURN_IF_ERROR(Read(name, bytes.data(), size));
  return bytes;
}

}  // namespace finetune
