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

// Reads the entries of a ZIP file that torch.save wrote.
//
// Problem: a damaged checkpoint must not load, but LibTorch's reader, PyTorchStreamReader, is built
// without the CRC-32 check. Method: libzip reads the file (also ZIP64) and checks each entry's
// CRC-32.
//
// Layout: each entry is stored without compression. "NAME/data.pkl" is the pickle. "NAME/data/KEY"
// has the bytes of the storage that the pickle calls KEY (torch_file.cc).
//
// Invariants: compressed and encrypted entries are refused, so no entry is larger than the file.
// Entries of a hostile file may overlap, so the sum of all reads is limited to the file's size.
// Errors do not name the file; the caller must add its name. Tests: reader_test flips bits of real
// files and truncates them.
class ZipArchive {
 public:
  // Opens the file and reads its directory. `file_size`: the file's size in bytes, which no entry
  // and no sum of all reads may exceed. Errors: DataLoss.
  static absl::StatusOr<ZipArchive> Open(const std::string& path, uint64_t file_size);

  std::vector<std::string> Names() const;
  bool Has(const std::string& name) const;

  // Returns false if the CRC-32 of every entry is 0, which means that the file was written after
  // torch.serialization.set_crc32_options(False). Its entries are read without a check.
  bool IsChecked() const { return is_checked_; }

  // Returns the size of an entry in bytes. Errors: NotFound; InvalidArgument for an entry that is
  // compressed, encrypted or claims to be larger than the file.
  absl::StatusOr<uint64_t> Size(const std::string& name) const;
  // Reads a whole entry into `to`. `size`: what Size() returned. Errors: DataLoss for a wrong
  // CRC-32; InvalidArgument if the entry cannot be read or the sum of all reads exceeds the file's
  // size.
  absl::Status Read(const std::string& name, void* to, uint64_t size);
  absl::StatusOr<std::string> Read(const std::string& name);

 private:
  struct Discard {
    void operator()(zip_t* zip) const { zip_discard(zip); }
  };
  ZipArchive(zip_t* zip, uint64_t file_size);

  std::unique_ptr<zip_t, Discard> zip_;
  uint64_t file_size_;
  // How many more bytes may be read.
  uint64_t bytes_left_;
  bool is_checked_ = false;
};

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_ZIP_ARCHIVE_H_
