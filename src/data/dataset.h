#ifndef FINETUNE_DATA_DATASET_H_
#define FINETUNE_DATA_DATASET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "src/base/status_macros.h"
#include "src/data/encoded_shard_reader.h"
#include "src/data/image_size.h"
#include "src/data/manifest.h"
#include "src/data/shard_reader.h"

namespace finetune {

// One split of a prepared data set. Its images are numbered from 0, shard after shard.
//
// Reading in random order costs about one system call for each image. Memory holds the labels,
// and for encoded images also their offsets, sizes and checksums: see ShardReader and
// EncodedShardReader. So a split may be larger than memory, and the ranks of a host share one copy
// of it in the page cache.
class Dataset {
 public:
  // Opens every shard and checks everything in it except the images' data. Errors: those of
  // ReadManifest, FindSplit, ShardReader::Open and EncodedShardReader::Open.
  static absl::StatusOr<std::unique_ptr<Dataset>> Open(const std::string& folder,
                                                       const std::string& split);

  const DatasetManifest& manifest() const { return manifest_; }
  const DatasetSplit& split() const { return split_; }
  int64_t size() const { return first_.back(); }

  // Returns whether images are stored encoded. If so, ReadEncoded() reads them; if not, Read()
  // does.
  bool encoded() const { return manifest_.encoded(); }
  // Returns the size of one image. `index` must be below size().
  ImageSize SizeOf(int64_t index) const;

  // Returns the label of one image. `index` must be below size().
  int64_t LabelOf(int64_t index) const;

  // From now on, Read(), ReadEncoded() and LabelOf() return map[label] in place of a stored label.
  // `map` has one entry for each class of the manifest.
  void MapLabels(std::vector<int64_t> map) { label_map_ = std::move(map); }

  // Reads images in the order of `indices`: `pixels` [n, height, width, channels], `labels` [n].
  // May be called from any number of threads. Errors: OutOfRange for an index outside the split;
  // those of ShardReader::Read.
  absl::Status Read(absl::Span<const int64_t> indices, uint8_t* pixels, int64_t* labels) const;

  // Reads the bytes of one encoded image into `bytes`, whose memory is reused. May be called from
  // any number of threads. Errors: OutOfRange for an index outside the split; those of
  // EncodedShardReader::Read.
  absl::Status ReadEncoded(int64_t index, std::string* bytes, int64_t* label) const;

  // Returns an image's place for an error: "FOLDER/SHARD: image 7 (12007 of split train)".
  std::string Describe(int64_t index) const;

 private:
  // An image's place: the number of its shard, and its index within that shard.
  struct Place {
    size_t shard = 0;
    int64_t index = 0;
  };
  Place PlaceOf(int64_t index) const;
  absl::Status CheckIndex(int64_t index) const;
  int64_t Mapped(int64_t label) const { return label_map_.empty() ? label : label_map_[label]; }

  Dataset(std::string folder, DatasetManifest manifest, DatasetSplit split)
      : folder_(std::move(folder)), manifest_(std::move(manifest)), split_(std::move(split)) {}

  std::string folder_;
  DatasetManifest manifest_;
  DatasetSplit split_;
  std::vector<int64_t> label_map_;  // empty: labels are not mapped
  // The index in the split of each shard's first image, and after these the number of all
  // images.
  std::vector<int64_t> first_ = {0};
  // The split's shards. `encoded_shards_` is empty where images are stored as pixels, `shards_`
  // where they are encoded.
  std::vector<std::unique_ptr<ShardReader>> shards_;
  std::vector<std::unique_ptr<EncodedShardReader>> encoded_shards_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_DATASET_H_
