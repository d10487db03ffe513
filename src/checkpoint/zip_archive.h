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

// The entries of a ZIP file of torch.save.
//
// Problem: a damaged checkpoint must not load, but LibTorch's reader, PyTorchStreamReader, is built
// without the CRC-32 check. Method: libzip reads the file (also ZIP64) and checks each entry's
// CRC-32.
//
// Layout: each entry is stored without compression. "NAME/data.pkl" is the pickle. "NAME/data/KEY"
// has the bytes of the storage that the pickle calls KEY (torch_file.cc).
//
// Invariants: compressed and encrypted entries are refused, so an entry is not larger than the
// file. The sum of all reads is bounded by the file's size, because entries may overlap. Errors do
// not name the file, so the caller must add its name. Tests: reader_test flips bits of real files
// and truncates them.
class ZipArchive {
 public:
  // `file_size` bounds each entry, and the sum of all reads.
  static absl::StatusOr<ZipArchive> Open(const std::string& path, uint64_t file_size);

  std::vector<std::string> Names() const;
  bool Has(const std::string& name) const;

  // Returns false where the CRC-32 of every entry is 0, because
  // torch.serialization.set_crc32_options(False) left them out. Such entries are read without a
  // check.
  bool IsChecked() const { return is_checked_; }

  // Returns the size of an entry in bytes. Errors: NotFound; InvalidArgument for an entry that is
  // compressed, encrypted or claims to be larger than the file.
  absl::StatusOr<uint64_t> Size(const std::string& name) const;
  // Reads a whole entry, `size` bytes as Size() returned them. Errors: DataLoss for a wrong CRC-32.
  absl::Status Read(const std::string& name, void* to, uint64_t size);
  absl::StatusOr<std::string> Read(const std::string& name);

 private:
  struct Discard {
    void operator()(zip_t* zip) const { zip_discard(zip); }
  };
  ZipArchive(zip_t* zip, uint64_t file_size);

  std::unique_ptr<zip_t, Discard> zip_;
  uint64_t file_size_;
  // The number of bytes that may still be read. A hostile file may have many overlapping entries.
  uint64_t bytes_left_;
  bool is_checked_ = false;
};

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_ZIP_ARCHIVE_H_
