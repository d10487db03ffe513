#ifndef FINETUNE_DATA_ENCODED_SHARD_READER_H_
#define FINETUNE_DATA_ENCODED_SHARD_READER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "src/base/status_macros.h"
#include "src/data/dataset.pb.h"
#include "src/data/image_size.h"
#include "src/data/shard_file.h"

namespace finetune {

// Random access to the encoded images of one shard that EncodedShardWriter wrote.
//
// HDF5 is used only when the shard is opened: to read the tables (offsets, sizes, labels and CRC-32
// sums) and to find the file offset of each chunk of the HDF5 data set `bytes`. Later an image is
// read without HDF5 and without a lock, with one pread (or more, if its chunks are not contiguous
// in the file). An image's CRC-32 is checked when the image is first read. Memory holds 29 bytes
// for each image.
class EncodedShardReader {
 public:
  // Opens FOLDER/entry.file. The file may come from anywhere, so Open() checks that types and
  // shapes match the manifest, that offsets ascend and end at the last byte, that every chunk lies
  // in the file, that no image has more than kMaxPixels, and that each label is below the number of
  // classes. `keep_open`: whether the file stays open; otherwise each read of an image opens it
  // again. Errors: NotFound; DataLoss that names the file and what is wrong with it.
  static absl::StatusOr<std::unique_ptr<EncodedShardReader>> Open(const std::string& folder,
                                                                  const DatasetShard& entry,
                                                                  const DatasetManifest& manifest,
                                                                  bool keep_open = true);
  EncodedShardReader(const EncodedShardReader&) = delete;
  EncodedShardReader& operator=(const EncodedShardReader&) = delete;

  const std::string& path() const { return file_.path(); }
  int64_t size() const { return static_cast<int64_t>(labels_.size()); }
  int64_t label(int64_t index) const { return labels_[index]; }
  ImageSize image_size(int64_t index) const { return sizes_[index]; }
  // Returns the number of bytes of image `index` as it is stored.
  int64_t bytes(int64_t index) const { return offsets_[index + 1] - offsets_[index]; }

  // Reads the bytes of image `index`, which must be below size(), into `bytes`, whose memory is
  // reused. Several threads may call it at once. Errors: DataLoss that names the file, and the byte
  // that cannot be read or the image with a wrong checksum.
  absl::Status Read(int64_t index, std::string* bytes) const;

  // Reads the first 16 bytes of an image (all bytes of a shorter one) into `bytes`. KindOf() needs
  // them to recognize the image format. Does not check the CRC-32.
  absl::Status ReadHead(int64_t index, std::string* bytes) const;

 private:
  explicit EncodedShardReader(ShardFile file) : file_(std::move(file)) {}
  absl::Status Index(const DatasetShard& entry, const DatasetManifest& manifest);
  absl::Status CheckTables(const DatasetManifest& manifest, int64_t total) const;
  absl::Status ReadRange(int64_t offset, int64_t size, uint8_t* to) const;

  ShardFile file_;
  // The length of a chunk of `bytes`, and each chunk's offset in the file.
  int64_t chunk_bytes_ = 0;
  std::vector<int64_t> chunk_at_;
  // The tables of the file, as EncodedShardWriter describes them.
  std::vector<int64_t> offsets_, labels_;
  std::vector<ImageSize> sizes_;
  std::vector<uint32_t> sums_;
  // checked_[i]: whether image i's CRC-32 has been compared and was right.
  mutable std::vector<std::atomic<bool>> checked_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_ENCODED_SHARD_READER_H_
