#include "src/data/dataset.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/data/open_shards.h"

namespace finetune {

absl::StatusOr<std::unique_ptr<Dataset>> Dataset::Open(const std::string& folder,
                                                       const std::string& split_name) {
  FT_ASSIGN_OR_RETURN(DatasetManifest manifest, ReadManifest(folder));
  FT_ASSIGN_OR_RETURN(DatasetSplit split, FindSplit(manifest, split_name));
  std::unique_ptr<Dataset> dataset(new Dataset(std::move(manifest), std::move(split)));
  const int64_t kept_open = OpenShardLimit();
  for (const DatasetShard& entry : dataset->split_.shard()) {
    const bool keep_open = static_cast<int64_t>(dataset->shards_.size()) < kept_open;
    FT_ASSIGN_OR_RETURN(std::unique_ptr<ShardReader> shard,
                        ShardReader::Open(folder, entry, dataset->manifest_, keep_open));
    dataset->first_.push_back(dataset->first_.back() + shard->size());
    dataset->shards_.push_back(std::move(shard));
  }
  return dataset;
}

absl::Status Dataset::Read(absl::Span<const int64_t> indices, uint8_t* pixels,
                           int64_t* labels) const {
  const int64_t bytes = PictureBytes(manifest_);
  for (const int64_t index : indices) {
    if (index < 0 || index >= size()) {
      return absl::OutOfRangeError(absl::StrCat("picture ", index, " of ", size()));
    }
    const size_t which = std::upper_bound(first_.begin(), first_.end(), index) - first_.begin() - 1;
    const int64_t in_shard = index - first_[which];
    FT_RETURN_IF_ERROR(shards_[which]->Read(in_shard, pixels));
    const int64_t label = shards_[which]->label(in_shard);
    *labels++ = label_map_.empty() ? label : label_map_[label];
    pixels += bytes;
  }
  return absl::OkStatus();
}

}  // namespace finetune
