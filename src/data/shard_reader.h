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
// HDF5 is only used when the shard is opened, to read the labels and the file offset of each chunk.
// A chunk stores its images' pixels without compression, so an image is later one pread of its
// own bytes: no lock, no copy of the shard in memory, and the ranks of a host share the page cache.
// A chunk's Fletcher-32 checksum is checked when the first of its images is read. Without
// `keep_open` the file is opened again for each image.
class ShardReader {
 public:
  // Opens FOLDER/entry.file. Because the file may come from anywhere, Open checks that shapes and
  // types match the manifest, that every chunk lies in the file, and that each label is below the
  // number of classes. Reads the labels, not the images. Errors: NotFound; DataLoss that names
  // the file and what is wrong with it.
  static absl::StatusOr<std::unique_ptr<ShardReader>> Open(const std::string& folder,
                                                           const DatasetShard& entry,
                                                           const DatasetManifest& manifest,
                                                           bool keep_open = true);
  ShardReader(const ShardReader&) = delete;
  ShardReader& operator=(const ShardReader&) = delete;

  int64_t size() const { return static_cast<int64_t>(labels_.size()); }
  int64_t label(int64_t index) const { return labels_[index]; }

  // Reads the pixels [height, width, channels] of image `index`, which must be below size(). May
  // be called from any number of threads. Errors: DataLoss that names the file and the byte.
  absl::Status Read(int64_t index, uint8_t* pixels) const;

 private:
  explicit ShardReader(ShardFile file) : file_(std::move(file)) {}
  absl::Status Index(const DatasetShard& entry, const DatasetManifest& manifest);

  ShardFile file_;
  int64_t image_bytes_ = 0;
  // The number of images in a chunk; each chunk's file offset; whether each chunk's checksum has
  // been checked.
  int64_t chunk_images_ = 0;
  std::vector<int64_t> chunk_at_;
  mutable std::vector<std::atomic<bool>> checked_;
  std::vector<int64_t> labels_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_SHARD_READER_H_
