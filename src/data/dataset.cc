#include "src/data/dataset.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace finetune {

absl::StatusOr<std::unique_ptr<Dataset>> Dataset::Open(const std::string& folder,
                                                       const std::string& split_name) {
  FT_ASSIGN_OR_RETURN(DatasetManifest manifest, ReadManifest(folder));
  FT_ASSIGN_OR_RETURN(DatasetSplit split, FindSplit(manifest, split_name));
  if (split.shard_size() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, ": split \"", split_name, "\" has no pictures"));
  }
  return std::unique_ptr<Dataset>(new Dataset(folder, std::move(manifest), std::move(split)));
}

Dataset::Dataset(std::string folder, DatasetManifest manifest, DatasetSplit split)
    : folder_(std::move(folder)), manifest_(std::move(manifest)), split_(std::move(split)) {
  first_.push_back(0);
  for (const DatasetShard& shard : split_.shard()) {
    first_.push_back(first_.back() + shard.count());
    slots_.push_back(std::make_unique<Slot>());
  }
}

absl::StatusOr<Dataset::Picture> Dataset::Get(int64_t index) {
  if (index < 0 || index >= size()) {
    return absl::OutOfRangeError(absl::StrCat("picture ", index, " of ", size()));
  }
  const size_t which = std::upper_bound(first_.begin(), first_.end(), index) - first_.begin() - 1;
  Slot& slot = *slots_[which];
  std::call_once(slot.once, [&] {
    const std::lock_guard lock(hdf5_mutex_);
    absl::StatusOr<Shard> shard =
        ReadShard(folder_, split_.shard(static_cast<int>(which)), manifest_);
    if (shard.ok()) {
      slot.shard = *std::move(shard);
    } else {
      slot.status = shard.status();
    }
  });
  FT_RETURN_IF_ERROR(slot.status);
  const int64_t in_shard = index - first_[which];
  const int64_t bytes = PictureBytes(manifest_);
  return Picture{absl::MakeConstSpan(slot.shard.images.data() + in_shard * bytes, bytes),
                 slot.shard.labels[in_shard]};
}

}  // namespace finetune
