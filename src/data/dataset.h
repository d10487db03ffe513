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
// Reading images in random order costs about one system call for each image. Memory holds only the
// labels, and for encoded images also their offsets, sizes and checksums (see ShardReader and
// EncodedShardReader). So a split may be larger than memory, and the ranks of a host share its
// pages in the system's page cache.
class Dataset {
 public:
  // Opens split `split` of the data set in `folder`. Opens every shard and checks everything in it
  // except the images' bytes, which are checked when they are read. Errors: those of ReadManifest,
  // FindSplit, ShardReader::Open and EncodedShardReader::Open.
  static absl::StatusOr<std::unique_ptr<Dataset>> Open(const std::string& folder,
                                                       const std::string& split);

  const DatasetManifest& manifest() const { return manifest_; }
  const DatasetSplit& split() const { return split_; }
  int64_t size() const { return first_.back(); }

  // Returns whether images are stored encoded (as JPEG, PNG and so on). If so, read them with
  // ReadEncoded(), otherwise with Read().
  bool encoded() const { return manifest_.encoded(); }
  // Returns the height and width of image `index`, which must be below size(); for an encoded image
  // those of the decoded image.
  ImageSize SizeOf(int64_t index) const;

  // Returns the label of one image. `index` must be below size().
  int64_t LabelOf(int64_t index) const;

  // Makes Read(), ReadEncoded() and LabelOf() return map[label] instead of the stored label. `map`
  // has one entry for each class of the manifest.
  void MapLabels(std::vector<int64_t> map) { label_map_ = std::move(map); }

  // Reads the n images `indices` in this order into `pixels` [n, height, width, channels] and
  // `labels` [n]. Several threads may call it at once. Errors: OutOfRange for an index outside the
  // split; those of ShardReader::Read.
  absl::Status Read(absl::Span<const int64_t> indices, uint8_t* pixels, int64_t* labels) const;

  // Reads one encoded image: its bytes into `bytes`, whose memory is reused, and its label into
  // `label`. Several threads may call it at once. Errors: OutOfRange for an index outside the
  // split; those of EncodedShardReader::Read.
  absl::Status ReadEncoded(int64_t index, std::string* bytes, int64_t* label) const;

  // Returns text that names an image in an error: "FOLDER/SHARD: image 7 (12007 of split train)".
  // The first number is the image's index in the shard, the second its index in the split.
  std::string Describe(int64_t index) const;

 private:
  // Where an image is stored: the number of its shard, and its index in that shard.
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
  std::vector<int64_t> label_map_;  // empty: labels are returned as stored
  // first_[s] is the index in the split of shard s's first image. The last element is the number of
  // images of the split.
  std::vector<int64_t> first_ = {0};
  // The split's shards: in `encoded_shards_` if images are stored encoded, otherwise in `shards_`.
  // The other vector is empty.
  std::vector<std::unique_ptr<ShardReader>> shards_;
  std::vector<std::unique_ptr<EncodedShardReader>> encoded_shards_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_DATASET_H_
