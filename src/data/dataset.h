#ifndef FINETUNE_DATA_DATASET_H_
#define FINETUNE_DATA_DATASET_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "src/base/status_macros.h"
#include "src/data/manifest.h"
#include "src/data/shard.h"

namespace finetune {

// One split of a prepared data set. Pictures are numbered through its shards, from 0.
//
// Training reads pictures in random order, so a shard is read whole at its first use and kept: a
// rank's memory holds the split (CIFAR-10's training pictures are 150 MB).
class Dataset {
 public:
  // Errors: those of ReadManifest and FindSplit; InvalidArgument for a split without pictures.
  static absl::StatusOr<std::unique_ptr<Dataset>> Open(const std::string& folder,
                                                       const std::string& split);

  const DatasetManifest& manifest() const { return manifest_; }
  int64_t size() const { return first_.back(); }

  // The pixels of picture `index`, [height, width, channels], and its label. They stay valid as
  // long as this object. May be called from several threads. Errors: those of ReadShard.
  struct Picture {
    absl::Span<const uint8_t> pixels;
    int64_t label;
  };
  absl::StatusOr<Picture> Get(int64_t index);

 private:
  struct Slot {
    std::once_flag once;
    absl::Status status;
    Shard shard;
  };

  Dataset(std::string folder, DatasetManifest manifest, DatasetSplit split);

  std::string folder_;
  DatasetManifest manifest_;
  DatasetSplit split_;
  // Of each shard, the number of its first picture; then the number of pictures.
  std::vector<int64_t> first_;
  std::vector<std::unique_ptr<Slot>> slots_;
  // HDF5's library is built without thread safety.
  std::mutex hdf5_mutex_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_DATASET_H_
