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
  std::unique_ptr<Dataset> dataset(new Dataset(folder, std::move(manifest), std::move(split)));
  const int64_t kept_open = OpenShardLimit();
  for (const DatasetShard& entry : dataset->split_.shard()) {
    const bool keep_open = static_cast<int64_t>(dataset->first_.size()) <= kept_open;
    if (dataset->encoded()) {
      FT_ASSIGN_OR_RETURN(std::unique_ptr<EncodedShardReader> shard,
                          EncodedShardReader::Open(folder, entry, dataset->manifest_, keep_open));
      dataset->encoded_shards_.push_back(std::move(shard));
    } else {
      FT_ASSIGN_OR_RETURN(std::unique_ptr<ShardReader> shard,
                          ShardReader::Open(folder, entry, dataset->manifest_, keep_open));
      dataset->shards_.push_back(std::move(shard));
    }
    dataset->first_.push_back(dataset->first_.back() + entry.count());
  }
  return dataset;
}

Dataset::Place Dataset::PlaceOf(int64_t index) const {
  const size_t shard = std::upper_bound(first_.begin(), first_.end(), index) - first_.begin() - 1;
  return {shard, index - first_[shard]};
}

absl::Status Dataset::CheckIndex(int64_t index) const {
  if (index >= 0 && index < size()) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat("image ", index, " of ", size()));
}

ImageSize Dataset::SizeOf(int64_t index) const {
  if (!encoded()) return {manifest_.height(), manifest_.width()};
  const Place place = PlaceOf(index);
  return encoded_shards_[place.shard]->image_size(place.index);
}

int64_t Dataset::LabelOf(int64_t index) const {
  const Place place = PlaceOf(index);
  return Mapped(encoded() ? encoded_shards_[place.shard]->label(place.index)
                          : shards_[place.shard]->label(place.index));
}

absl::Status Dataset::Read(absl::Span<const int64_t> indices, uint8_t* pixels,
                           int64_t* labels) const {
  const int64_t bytes = ImageBytes(manifest_);
  for (const int64_t index : indices) {
    FT_RETURN_IF_ERROR(CheckIndex(index));
    const Place place = PlaceOf(index);
    FT_RETURN_IF_ERROR(shards_[place.shard]->Read(place.index, pixels));
    *labels++ = Mapped(shards_[place.shard]->label(place.index));
    pixels += bytes;
  }
  return absl::OkStatus();
}

absl::Status Dataset::ReadEncoded(int64_t index, std::string* bytes, int64_t* label) const {
  FT_RETURN_IF_ERROR(CheckIndex(index));
  const Place place = PlaceOf(index);
  *label = Mapped(encoded_shards_[place.shard]->label(place.index));
  return encoded_shards_[place.shard]->Read(place.index, bytes);
}

std::string Dataset::Describe(int64_t index) const {
  const Place place = PlaceOf(index);
  return absl::StrCat(folder_, "/", split_.shard(static_cast<int>(place.shard)).file(), ": image ",
                      place.index, " (", index, " of split ", split_.name(), ")");
}

}  // namespace finetune
