#include "src/data/manifest.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/atomic_file.h"
#include "src/base/sha256.h"
#include "src/data/image_size.h"

namespace finetune {
namespace {

using google::protobuf::TextFormat;

constexpr int kMaxSide = 1 << 14;
constexpr int64_t kMaxImages = int64_t{1} << 40;

class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, google::protobuf::io::ColumnNumber column,
                const std::string& message) override {
    if (text_.empty()) text_ = absl::StrCat(line + 1, ":", column + 1, ": ", message);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// Checks a parsed manifest. An error names the line and column of the wrong field.
class Checker {
 public:
  Checker(std::string path, const DatasetManifest& manifest, TextFormat::ParseInfoTree* places)
      : path_(std::move(path)), manifest_(manifest), places_(places) {}

  absl::Status Check() const {
    const int version = manifest_.format_version();
    if (version != kRawFormatVersion && version != kEncodedFormatVersion) {
      return Bad(places_, manifest_, "format_version", -1, "is ", version, "; this program reads ",
                 kRawFormatVersion, " and ", kEncodedFormatVersion, ": prepare the data again");
    }
    if (manifest_.encoded() != (version == kEncodedFormatVersion)) {
      return Bad(places_, manifest_, "format_version", -1, "is ", version, " and encoded ",
                 manifest_.encoded() ? "true" : "false", "; expected ", kEncodedFormatVersion,
                 " for encoded images, else ", kRawFormatVersion);
    }
    FT_RETURN_IF_ERROR(CheckImages());
    FT_RETURN_IF_ERROR(CheckStatistics());
    if (manifest_.split_size() == 0) return Bad(places_, manifest_, "split", -1, "is missing");
    for (int i = 0; i < manifest_.split_size(); ++i) FT_RETURN_IF_ERROR(CheckSplit(i));
    return absl::OkStatus();
  }

  absl::Status CheckImages() const {
    FT_RETURN_IF_ERROR(CheckClasses());
    if (manifest_.channels() != 1 && manifest_.channels() != 3) {
      return Bad(places_, manifest_, "channels", -1, "is ", manifest_.channels(),
                 "; expected 1 or 3");
    }
    if (manifest_.encoded()) {
      if (manifest_.channels() != 3) {
        return Bad(places_, manifest_, "channels", -1, "is ", manifest_.channels(),
                   "; encoded images are decoded to 3");
      }
      // Height and width are both 0 if images have different sizes.
      if (manifest_.height() == 0 && manifest_.width() == 0) return absl::OkStatus();
    }
    const int most = manifest_.encoded() ? static_cast<int>(kMaxPixels) : kMaxSide;
    for (const auto& [field, side] :
         {std::pair("height", manifest_.height()), std::pair("width", manifest_.width())}) {
      if (side < 1 || side > most) {
        return Bad(places_, manifest_, field, -1, "is ", side, "; expected 1 to ", most);
      }
    }
    return absl::OkStatus();
  }

 private:
  template <typename... Parts>
  absl::Status Bad(const TextFormat::ParseInfoTree* tree, const google::protobuf::Message& message,
                   const char* field, int index, const Parts&... parts) const {
    std::string where = path_;
    const auto* descriptor = message.GetDescriptor()->FindFieldByName(field);
    // Protobuf fails a check if it is asked for the location of a repeated field without an index,
    // or of another field with one.
    if (tree != nullptr && descriptor->is_repeated() == (index >= 0)) {
      const TextFormat::ParseLocation at = tree->GetLocation(descriptor, index);
      if (at.line >= 0) absl::StrAppend(&where, ":", at.line + 1, ":", at.column + 1);
    }
    if (!where.empty()) absl::StrAppend(&where, ": ");
    return absl::InvalidArgumentError(absl::StrCat(where, field, " ", parts...));
  }

  absl::Status CheckClasses() const {
    if (manifest_.class_name_size() == 0) {
      return Bad(places_, manifest_, "class_name", -1, "is missing");
    }
    std::set<std::string> names;
    for (int i = 0; i < manifest_.class_name_size(); ++i) {
      const std::string& name = manifest_.class_name(i);
      if (name.empty()) return Bad(places_, manifest_, "class_name", i, "is empty");
      if (!names.insert(name).second) {
        return Bad(places_, manifest_, "class_name", i, "\"", name, "\" is there twice");
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckStatistics() const {
    for (const auto& [field, values] :
         {std::pair("mean", &manifest_.mean()), std::pair("std", &manifest_.std())}) {
      if (values->size() != manifest_.channels()) {
        return Bad(places_, manifest_, field, values->empty() ? -1 : 0, "has ", values->size(),
                   " values; expected one a channel: ", manifest_.channels());
      }
      const bool positive = values == &manifest_.std();
      for (int i = 0; i < values->size(); ++i) {
        const double value = values->Get(i);
        if (!(value >= 0 && value <= 255) || (positive && value == 0)) {
          return Bad(places_, manifest_, field, i, "is ", value, "; expected ",
                     positive ? "more than 0" : "0", " to 255");
        }
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckSplit(int index) const {
    const DatasetSplit& split = manifest_.split(index);
    TextFormat::ParseInfoTree* tree =
        places_->GetTreeForNested(DatasetManifest::descriptor()->FindFieldByName("split"), index);
    if (split.name().empty()) return Bad(places_, manifest_, "split", index, "has no name");
    for (int i = 0; i < index; ++i) {
      if (manifest_.split(i).name() == split.name()) {
        return Bad(tree, split, "name", -1, "\"", split.name(), "\" is there twice");
      }
    }
    if (split.shard_size() == 0) {
      return Bad(places_, manifest_, "split", index, "\"", split.name(), "\" has no shards");
    }
    int64_t count = 0;
    std::set<std::string> files;
    for (int i = 0; i < split.shard_size(); ++i) {
      const DatasetShard& shard = split.shard(i);
      const TextFormat::ParseInfoTree* place =
          tree == nullptr
              ? nullptr
              : tree->GetTreeForNested(DatasetSplit::descriptor()->FindFieldByName("shard"), i);
      const std::string& file = shard.file();
      // A manifest may come from anywhere, so a file name must not lead out of the manifest's
      // folder.
      if (file.empty() || file == "." || file == ".." ||
          file.find_first_of(std::string("/\0", 2)) != std::string::npos) {
        return Bad(place, shard, "file", -1, "\"", file, "\" is not a plain file name");
      }
      if (!files.insert(file).second) {
        return Bad(place, shard, "file", -1, "\"", file, "\" is there twice");
      }
      if (shard.count() < 1 || shard.count() > kMaxImages) {
        return Bad(place, shard, "count", -1, "of ", file, " is ", shard.count(),
                   "; expected 1 or more");
      }
      count += shard.count();
      if (count > kMaxImages) {
        return Bad(place, shard, "count", -1, "makes more than ", kMaxImages, " images");
      }
      if (shard.sha256().size() != 64 ||
          !std::all_of(shard.sha256().begin(), shard.sha256().end(), absl::ascii_isxdigit)) {
        return Bad(place, shard, "sha256", -1, "of ", file, " is \"", shard.sha256(),
                   "\"; expected 64 hexadecimal digits");
      }
    }
    return absl::OkStatus();
  }

  std::string path_;
  const DatasetManifest& manifest_;
  TextFormat::ParseInfoTree* places_;
};

constexpr char kSeal[] = "# SHA-256 of the lines above: ";

std::string SumOf(absl::string_view text) {
  Sha256 sum;
  sum.Update(text);
  return sum.HexDigest();
}

// Checks the checksum that SealManifest() appends. Manifests of older programs have none, which is
// not an error.
absl::Status CheckSeal(const std::string& path, absl::string_view text) {
  const size_t seal = text.rfind(kSeal);
  if (seal == absl::string_view::npos) return absl::OkStatus();
  const absl::string_view sum = absl::StripAsciiWhitespace(text.substr(seal + sizeof(kSeal) - 1));
  if (sum == SumOf(text.substr(0, seal))) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(
      path,
      ": its lines are not those whose SHA-256 the last line gives: it is damaged, or "
      "was edited. Prepare the data again; if the edit is yours, delete the last line"));
}

}  // namespace

absl::StatusOr<DatasetManifest> ReadManifest(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kManifestFile);
  absl::StatusOr<std::string> text = ReadRegularFile(path, size_t{64} << 20);
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(absl::StrCat("no data set in ", folder, ": ",
                                            text.status().message(),
                                            "; write one with prepare_dataset (for example "
                                            "`prepare_dataset cifar10 --input=DIR --output=",
                                            folder, "`)"));
  }
  FT_RETURN_IF_ERROR(text.status());
  DatasetManifest manifest;
  FirstError error;
  TextFormat::ParseInfoTree places;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  parser.WriteLocationsTo(&places);
  if (!parser.ParseFromString(*text, &manifest)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ":", error.text()));
  }
  FT_RETURN_IF_ERROR(Checker(path, manifest, &places).Check());
  FT_RETURN_IF_ERROR(CheckSeal(path, *text));
  return manifest;
}

absl::Status CheckImages(const DatasetManifest& manifest) {
  return Checker("", manifest, nullptr).CheckImages();
}

absl::StatusOr<DatasetSplit> FindSplit(const DatasetManifest& manifest, const std::string& name) {
  std::vector<std::string> names;
  for (const DatasetSplit& split : manifest.split()) {
    if (split.name() == name) return split;
    names.push_back(split.name());
  }
  return absl::NotFoundError(absl::StrCat("no split \"", name, "\" in data set ", manifest.name(),
                                          "; it has ", absl::StrJoin(names, ", ")));
}

int64_t ImageCount(const DatasetSplit& split) {
  int64_t count = 0;
  for (const DatasetShard& shard : split.shard()) count += shard.count();
  return count;
}

int64_t ImageBytes(const DatasetManifest& manifest) {
  return int64_t{manifest.channels()} * manifest.height() * manifest.width();
}

std::string PrintManifest(const DatasetManifest& manifest) {
  std::string text;
  TextFormat::PrintToString(manifest, &text);
  return text;
}

std::string SealManifest(const DatasetManifest& manifest) {
  const std::string text = PrintManifest(manifest);
  return absl::StrCat(text, kSeal, SumOf(text), "\n");
}

std::string ManifestDigest(const DatasetManifest& manifest) {
  return SumOf(PrintManifest(manifest));
}

std::string SplitDigest(const DatasetManifest& manifest, const DatasetSplit& split) {
  DatasetManifest counted;
  *counted.mutable_class_name() = manifest.class_name();
  counted.set_channels(manifest.channels());
  counted.set_height(manifest.height());
  counted.set_width(manifest.width());
  // `encoded` and `ignores_orientation` stay unset if they are false, so that the digest equals
  // that of older versions of this program.
  if (manifest.encoded()) counted.set_encoded(true);
  if (manifest.ignores_orientation()) counted.set_ignores_orientation(true);
  *counted.mutable_mean() = manifest.mean();
  *counted.mutable_std() = manifest.std();
  DatasetSplit* shards = counted.add_split();
  for (const DatasetShard& shard : split.shard()) {
    DatasetShard* added = shards->add_shard();
    added->set_count(shard.count());
    added->set_sha256(shard.sha256());
  }
  return ManifestDigest(counted);
}

}  // namespace finetune
