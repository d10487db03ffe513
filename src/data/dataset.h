#ifndef FINETUNE_DATA_DATASET_H_
#define FINETUNE_DATA_DATASET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "src/base/status_macros.h"
#include "src/data/manifest.h"
#include "src/data/shard_reader.h"

namespace finetune {

// One split of a prepared data set. Pictures are numbered through its shards, from 0.
//
// Reading in random order costs about one system call a picture and holds nothing but the labels in
// memory; see ShardReader. So a split may be larger than memory, and the ranks of a host share one
// copy of it in the page cache.
class Dataset {
 public:
  // Opens every shard and checks it but for its pixels. Errors: those of ReadManifest, FindSplit
  // and ShardReader::Open.
  static absl::StatusOr<std::unique_ptr<Dataset>> Open(const std::string& folder,
                                                       const std::string& split);

  const DatasetManifest& manifest() const { return manifest_; }
  const DatasetSplit& split() const { return split_; }
  int64_t size() const { return first_.back(); }

  // Labels are read as map[label] from now on. `map`: one entry for each class of the manifest.
  void MapLabels(std::vector<int64_t> map) { label_map_ = std::move(map); }

  // Reads pictures in the order of `indices`: `pixels` [n, height, width, channels], `labels` [n].
  // From any number of threads. Errors: OutOfRange for an index; those of ShardReader::Read.
  absl::Status Read(absl::Span<const int64_t> indices, uint8_t* pixels, int64_t* labels) const;

 private:
  Dataset(DatasetManifest manifest, DatasetSplit split)
      : manifest_(std::move(manifest)), split_(std::move(split)) {}

  DatasetManifest manifest_;
  DatasetSplit split_;
  std::vector<int64_t> label_map_;  // empty: labels as they are stored
  // The number of each shard's first picture; then the number of all pictures.
  std::vector<int64_t> first_ = {0};
  std::vector<std::unique_ptr<ShardReader>> shards_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_DATASET_H_
