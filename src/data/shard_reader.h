#ifndef FINETUNE_DATA_SHARD_READER_H_
#define FINETUNE_DATA_SHARD_READER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "src/base/status_macros.h"
#include "src/data/dataset.pb.h"
#include "src/data/shard_file.h"

namespace finetune {

// Random access to the images of one shard that ShardWriter wrote.
//
// HDF5 is used only when the shard is opened: to read the labels and to find the file offset of
// each chunk. A chunk holds the pixels of some images without compression. So an image is later
// read without HDF5 and without a lock, by one pread of its own bytes. The shard is not copied to
// memory, and the ranks of a host share its pages in the page cache. When the first image of a
// chunk is read, the whole chunk is read and its Fletcher-32 checksum is checked.
class ShardReader {
 public:
  // Opens FOLDER/entry.file. The file may come from anywhere, so Open() checks that shapes and
  // types match the manifest, that every chunk lies in the file, and that each label is below the
  // number of classes. It reads the labels, but no pixels. `keep_open`: whether the file stays
  // open; otherwise each read of an image opens it again. Errors: NotFound; DataLoss that names the
  // file and what is wrong with it.
  static absl::StatusOr<std::unique_ptr<ShardReader>> Open(const std::string& folder,
                                                           const DatasetShard& entry,
                                                           const DatasetManifest& manifest,
                                                           bool keep_open = true);
  ShardReader(const ShardReader&) = delete;
  ShardReader& operator=(const ShardReader&) = delete;

  int64_t size() const { return static_cast<int64_t>(labels_.size()); }
  int64_t label(int64_t index) const { return labels_[index]; }

  // Reads image `index`, which must be below size(), into `pixels` [height, width, channels].
  // Several threads may call it at once. Errors: DataLoss that names the file, and the byte that
  // cannot be read or the chunk with a wrong checksum.
  absl::Status Read(int64_t index, uint8_t* pixels) const;

 private:
  explicit ShardReader(ShardFile file) : file_(std::move(file)) {}
  absl::Status Index(const DatasetShard& entry, const DatasetManifest& manifest);

  ShardFile file_;
  int64_t image_bytes_ = 0;
  // chunk_images_: the number of images in a chunk. chunk_at_[c]: the file offset of chunk c.
  // checked_[c]: whether chunk c's checksum has been compared and was right.
  int64_t chunk_images_ = 0;
  std::vector<int64_t> chunk_at_;
  mutable std::vector<std::atomic<bool>> checked_;
  std::vector<int64_t> labels_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_SHARD_READER_H_
