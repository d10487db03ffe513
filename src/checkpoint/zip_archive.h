#ifndef FINETUNE_CHECKPOINT_ZIP_ARCHIVE_H_
#define FINETUNE_CHECKPOINT_ZIP_ARCHIVE_H_

#include <zip.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace finetune {

// A ZIP or ZIP64 file of stored (not compressed) entries, read by libzip, which checks each entry's
// CRC-32. (LibTorch's own reader, PyTorchStreamReader, is built without that check.) Errors do not
// name the file; the caller does.
class ZipArchive {
 public:
  // `file_size` bounds each entry, and all that is read from it.
  static absl::StatusOr<ZipArchive> Open(const std::string& path, uint64_t file_size);

  std::vector<std::string> Names() const;
  bool Has(const std::string& name) const;

  // False where the CRC-32 of every entry is 0: torch.serialization.set_crc32_options(False) leaves
  // them out. Such entries are read without a check.
  bool IsChecked() const { return is_checked_; }

  // Size of an entry, at most the file's. Errors: NotFound, InvalidArgument for an entry that is
  // compressed, encrypted or claims more than the file holds.
  absl::StatusOr<uint64_t> Size(const std::string& name) const;
  // The whole of an entry, `size` bytes as Size() gave them. Errors: DataLoss for a wrong CRC-32.
  absl::Status Read(const std::string& name, void* to, uint64_t size);
  absl::StatusOr<std::string> Read(const std::string& name);

 private:
  struct Discard {
    void operator()(zip_t* zip) const { zip_discard(zip); }
  };
  ZipArchive(zip_t* zip, uint64_t file_size);

  std::unique_ptr<zip_t, Discard> zip_;
  uint64_t file_size_;
  // Entries may overlap in a file that is made to be read for ever.
  uint64_t bytes_left_;
  bool is_checked_ = false;
};

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_ZIP_ARCHIVE_H_
