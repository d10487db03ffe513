#include "src/train/data_identity.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "src/base/annotate.h"
#include "src/checkpoint/own_checkpoint.h"
#include "src/checkpoint/reader.h"
#include "src/data/image_size.h"
#include "src/data/manifest.h"

namespace finetune {
namespace {

std::string Numbers(const std::vector<double>& values) {
  return absl::StrCat("[",
                      absl::StrJoin(values, ", ",
                                    [](std::string* out, double value) {
                                      absl::StrAppendFormat(out, "%.4g", value);
                                    }),
                      "]");
}

const Value* Find(const Value& value, const char* key) {
  return value.dict() == nullptr ? nullptr : value.dict()->Find(key);
}

Value::Dict ToDict(const SplitIdentity& split) {
  Value::Dict dict;
  dict.Append("split", split.split);
  dict.Append("digest", split.digest);
  dict.Append("pictures", split.images);
  dict.Append("channels", split.channels);
  dict.Append("height", split.height);
  dict.Append("width", split.width);
  if (split.encoded.has_value()) dict.Append("encoded", *split.encoded);
  if (split.ignores_orientation.has_value()) {
    dict.Append("ignores_orientation", *split.ignores_orientation);
  }
  return dict;
}

absl::StatusOr<SplitIdentity> ReadSplit(const Value& dict) {
  SplitIdentity split;
  FT_ASSIGN_OR_RETURN(split.split, dict.GetString("split"));
  FT_ASSIGN_OR_RETURN(split.digest, dict.GetString("digest"));
  FT_ASSIGN_OR_RETURN(split.images, dict.GetInt("pictures"));
  FT_ASSIGN_OR_RETURN(split.channels, dict.GetInt("channels"));
  FT_ASSIGN_OR_RETURN(split.height, dict.GetInt("height"));
  FT_ASSIGN_OR_RETURN(split.width, dict.GetInt("width"));
  const auto is_side = [](int64_t side) { return side >= 0 && side <= kMaxPixels; };
  if ((split.channels != 1 && split.channels != 3) || !is_side(split.height) ||
      !is_side(split.width)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "has images of %dx%d pixels and %d channels; expected sides of 0 to %d and 1 or 3 channels",
        split.height, split.width, split.channels, kMaxPixels));
  }
  for (const auto& [key, value] : {std::pair("encoded", &split.encoded),
                                   std::pair("ignores_orientation", &split.ignores_orientation)}) {
    if (Find(dict, key) == nullptr) continue;
    FT_ASSIGN_OR_RETURN(*value, dict.GetBool(key));
  }
  return split;
}

Value::List ToList(const std::vector<double>& values) { return {values.begin(), values.end()}; }

absl::StatusOr<std::vector<double>> ReadNumbers(const Value& dict, const char* key, double low) {
  FT_ASSIGN_OR_RETURN(const Value value, dict.Get(key));
  const absl::Status wrong = absl::InvalidArgumentError(
      absl::StrCat("\"", key, "\" is not a list of numbers for the channels"));
  if (value.list() == nullptr) return wrong;
  std::vector<double> numbers;
  for (const Value& element : *value.list()) {
    const double* number = element.real();
    if (number == nullptr || !std::isfinite(*number) || *number < low) return wrong;
    numbers.push_back(*number);
  }
  return numbers;
}

// Returns the strings in `names`; an empty list where `names` is not a list of strings.
ClassNames ReadNames(const Value* names) {
  ClassNames read;
  if (names == nullptr || names->list() == nullptr) return read;
  for (const Value& name : *names->list()) {
    if (name.string() == nullptr) return {};
    read.push_back(*name.string());
  }
  return read;
}

ClassNames FindClasses(const Value& meta) {
  ClassNames names = ReadNames(Find(meta, "CLASSES"));
  if (!names.empty()) return names;
  const Value* dataset = Find(meta, "dataset_meta");
  if (dataset == nullptr) return {};
  names = ReadNames(Find(*dataset, "classes"));
  return names.empty() ? ReadNames(Find(*dataset, "CLASSES")) : names;
}

std::string Shape(const SplitIdentity& split) {
  const std::string size = split.height == 0 ? std::string("several sizes")
                                             : absl::StrCat(split.height, "x", split.width);
  return absl::StrCat(size, " with ", split.channels, " channel", split.channels == 1 ? "" : "s");
}

// Returns whether both splits are known and differ. If they differ, appends a sentence that says
// how. `part`: "data.train". `explained`: `sentences` already says that the class names differ,
// which also changes the digest.
bool CompareSplits(const char* part, const std::optional<SplitIdentity>& saved,
                   const std::optional<SplitIdentity>& now, bool explained,
                   std::vector<std::string>* sentences) {
  if (!saved.has_value() || !now.has_value() || saved->digest == now->digest) return false;
  std::vector<std::string> found;
  if (saved->split != now->split) {
    found.push_back(absl::StrCat("the split is ", QuoteNames({now->split}), "; it was ",
                                 QuoteNames({saved->split})));
  }
  if (saved->images != now->images) {
    found.push_back(absl::StrCat("it has ", now->images, " images; it had ", saved->images));
  }
  if (Shape(*saved) != Shape(*now)) {
    found.push_back(absl::StrCat("images are ", Shape(*now), "; they were ", Shape(*saved)));
  }
  if (found.empty() && explained) return true;
  if (found.empty()) {
    found.push_back("the checksums of its shards, class names or mean and std differ");
  }
  sentences->push_back(absl::StrCat(part, ": ", absl::StrJoin(found, "; ")));
  return true;
}

bool SameMembers(ClassNames a, ClassNames b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return a == b;
}

// Returns one entry for each class that is in both data sets with different numbers, such as
// ""bear" (0, in the checkpoint 1)". There are at most three entries, and then the number of
// further classes.
std::vector<std::string> Renumbered(const ClassNames& saved, const ClassNames& now) {
  constexpr size_t kMost = 3;
  std::vector<std::string> moved;
  size_t more = 0;
  for (size_t i = 0; i < now.size(); ++i) {
    if (i < saved.size() && saved[i] == now[i]) continue;
    const auto was = std::find(saved.begin(), saved.end(), now[i]);
    if (was == saved.end()) continue;
    if (moved.size() == kMost) {
      ++more;
      continue;
    }
    moved.push_back(absl::StrCat(QuoteNames({now[i]}), " (", i, ", in the checkpoint ",
                                 was - saved.begin(), ")"));
  }
  if (more > 0) moved.push_back(absl::StrCat(more, " more"));
  return moved;
}

}  // namespace

SplitIdentity IdentityOf(const Dataset& dataset) {
  const DatasetManifest& manifest = dataset.manifest();
  return {dataset.split().name(), SplitDigest(manifest, dataset.split()),
          dataset.size(),         manifest.channels(),
          manifest.height(),      manifest.width(),
          manifest.encoded(),     manifest.ignores_orientation()};
}

std::string Describe(const PixelStatistics& statistics) {
  if (statistics.mean.empty()) return "nothing";
  return absl::StrCat("mean ", Numbers(statistics.mean), " and std ", Numbers(statistics.std));
}

void AppendTo(const DataIdentity& identity, Value::Dict* meta) {
  meta->Append("CLASSES", Value::List(identity.classes.begin(), identity.classes.end()));
  Value::Dict data;
  if (identity.statistics.has_value()) {
    data.Append("mean", ToList(identity.statistics->mean));
    data.Append("std", ToList(identity.statistics->std));
  }
  if (identity.train.has_value()) data.Append("train", ToDict(*identity.train));
  if (identity.val.has_value()) data.Append("val", ToDict(*identity.val));
  meta->Append("data", std::move(data));
}

absl::StatusOr<DataIdentity> ReadDataIdentity(const Value& meta) {
  FT_RETURN_IF_ERROR(CheckCheckpointVersion(meta));
  DataIdentity identity;
  identity.classes = FindClasses(meta);
  // Another program's `CLASSES` and `data` may be anything.
  if (!NamesOwnWriter(meta)) return identity;
  if (Find(meta, "CLASSES") != nullptr) {
    const absl::StatusOr<ClassNames> names = meta.GetStrings("CLASSES");
    FT_RETURN_IF_ERROR(Annotate(names.status(), "meta"));
  }
  const Value* data = Find(meta, "data");
  if (data == nullptr) return identity;
  const auto read = [&]() -> absl::Status {
    if (Find(*data, "mean") != nullptr) {
      PixelStatistics statistics;
      FT_ASSIGN_OR_RETURN(statistics.mean, ReadNumbers(*data, "mean", -1e6));
      FT_ASSIGN_OR_RETURN(statistics.std, ReadNumbers(*data, "std", 1e-30));
      if (statistics.mean.size() != statistics.std.size()) {
        return absl::InvalidArgumentError(absl::StrCat("has ", statistics.mean.size(),
                                                       " values of mean and ",
                                                       statistics.std.size(), " of std"));
      }
      identity.statistics = std::move(statistics);
    }
    for (const auto& [key, split] :
         {std::pair("train", &identity.train), std::pair("val", &identity.val)}) {
      const Value* dict = Find(*data, key);
      if (dict == nullptr) continue;
      FT_ASSIGN_OR_RETURN(*split, ReadSplit(*dict));
    }
    return absl::OkStatus();
  };
  FT_RETURN_IF_ERROR(Annotate(read(), "meta.data"));
  return identity;
}

absl::StatusOr<DataIdentity> ReadDataIdentityOf(const std::string& path) {
  FT_ASSIGN_OR_RETURN(const Value meta, ReadMeta(path));
  absl::StatusOr<DataIdentity> identity = ReadDataIdentity(meta);
  FT_RETURN_IF_ERROR(Annotate(identity.status(), path));
  return identity;
}

DataDifference CompareData(const DataIdentity& saved, const DataIdentity& now) {
  DataDifference difference;
  if (!saved.classes.empty() && saved.classes != now.classes) {
    const ClassNames added = NamesWithout(now.classes, saved.classes);
    const ClassNames gone = NamesWithout(saved.classes, now.classes);
    const std::vector<std::string> moved = Renumbered(saved.classes, now.classes);
    difference.renumbered = !moved.empty();
    if (SameMembers(saved.classes, now.classes)) {
      difference.sentences.push_back(
          absl::StrCat("the classes are in another order: ", QuoteNames(now.classes),
                       "; in the checkpoint ", QuoteNames(saved.classes)));
    } else {
      difference.sentences.push_back(
          absl::StrCat("the classes differ", added.empty() ? "" : "; new: ", QuoteNames(added),
                       gone.empty() ? "" : "; missing: ", QuoteNames(gone),
                       moved.empty() ? "" : "; renumbered: ", absl::StrJoin(moved, ", ")));
    }
  }
  const bool explained = !difference.sentences.empty();
  CompareSplits("data.train", saved.train, now.train, explained, &difference.sentences);
  difference.val_differs =
      CompareSplits("data.val", saved.val, now.val, explained, &difference.sentences);
  return difference;
}

absl::StatusOr<std::string> CheckHeadClasses(const DataIdentity& saved, const ClassNames& classes) {
  if (saved.classes.empty()) {
    return absl::StrCat(
        "it does not name the classes of its head; output i is taken for class i of the training "
        "data: ",
        QuoteNames(classes));
  }
  DataIdentity now;
  now.classes = classes;
  const DataDifference difference = CompareData(saved, now);
  if (difference.sentences.empty()) return std::string();
  return absl::InvalidArgumentError(absl::StrCat(
      "its head does not have the classes of the training data: ", difference.sentences.front(),
      ". Prepare the data with the checkpoint's classes in their order, or leave out with_head"));
}

}  // namespace finetune
