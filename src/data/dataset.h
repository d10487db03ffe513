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
#include "src/data/manifest.h"
#include "src/data/picture_size.h"
#include "src/data/shard_reader.h"

namespace finetune {

// One split of a prepared data set. Pictures are numbered through its shards, from 0.
//
// Reading in random order costs about one system call a picture and holds nothing but the labels in
// memory, and of encoded pictures their places, sizes and sums; see ShardReader and
// EncodedShardReader. So a split may be larger than memory, and the ranks of a host share one
// copy of it in the page cache.
class Dataset {
 public:
  // Opens every shard and checks it but for its pictures. Errors: those of ReadManifest, FindSplit
  // and the readers' Open.
  static absl::StatusOr<std::unique_ptr<Dataset>> Open(const std::string& folder,
                                                       const std::string& split);

  const DatasetManifest& manifest() const { return manifest_; }
  const DatasetSplit& split() const { return split_; }
  int64_t size() const { return first_.back(); }

  // Whether pictures are read by ReadEncoded(), else by Read().
  bool encoded() const { return manifest_.encoded(); }
  // Of one picture, which must be below size().
  PictureSize SizeOf(int64_t index) const;

  // Labels are read as map[label] from now on. `map`: one entry for each class of the manifest.
  void MapLabels(std::vector<int64_t> map) { label_map_ = std::move(map); }

  // Reads pictures in the order of `indices`: `pixels` [n, height, width, channels], `labels` [n].
  // From any number of threads. Errors: OutOfRange for an index; those of ShardReader::Read.
  absl::Status Read(absl::Span<const int64_t> indices, uint8_t* pixels, int64_t* labels) const;

  // Reads one picture as its file was; `bytes` is used again. From any number of threads. Errors:
  // as Read()'s.
  absl::Status ReadEncoded(int64_t index, std::string* bytes, int64_t* label) const;

  // For errors: "FOLDER/SHARD: picture 7 (12007 of split train)".
  std::string Describe(int64_t index) const;

 private:
  // A picture's shard, and its index there.
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
  std::vector<int64_t> label_map_;  // empty: labels as they are stored
  // The number of each shard's first picture; then the number of all pictures.
  std::vector<int64_t> first_ = {0};
  // One of them is empty.
  std::vector<std::unique_ptr<ShardReader>> shards_;
  std::vector<std::unique_ptr<EncodedShardReader>> encoded_shards_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_DATASET_H_
