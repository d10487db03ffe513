#include "src/data/manifest.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"

namespace finetune {
namespace {

constexpr int kFormatVersion = 1;
constexpr int kMaxSide = 1 << 14;

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

absl::Status Check(const DatasetManifest& manifest) {
  const auto bad = [](const auto&... parts) {
    return absl::InvalidArgumentError(absl::StrCat(parts...));
  };
  if (manifest.format_version() != kFormatVersion) {
    return bad("format_version is ", manifest.format_version(), "; this program reads ",
               kFormatVersion, ": prepare the data again");
  }
  if (manifest.class_name_size() < 1) return bad("class_name is missing");
  if (manifest.channels() != 1 && manifest.channels() != 3) {
    return bad("channels is ", manifest.channels(), "; expected 1 or 3");
  }
  for (const int side : {manifest.height(), manifest.width()}) {
    if (side < 1 || side > kMaxSide)
      return bad("height or width is ", side, "; expected 1 to ", kMaxSide);
  }
  if (manifest.mean_size() != manifest.channels() || manifest.std_size() != manifest.channels()) {
    return bad("mean and std must have one value a channel");
  }
  std::set<std::string> names;
  for (const DatasetSplit& split : manifest.split()) {
    if (!names.insert(split.name()).second)
      return bad("split \"", split.name(), "\" is there twice");
    for (const DatasetShard& shard : split.shard()) {
      // A manifest may come from anywhere; it must not lead out of its folder.
      if (shard.file().empty() || shard.file().find('/') != std::string::npos) {
        return bad("shard file \"", shard.file(), "\" is no plain file name");
      }
      if (shard.count() < 1) return bad("shard ", shard.file(), " has a count of ", shard.count());
      if (shard.sha256().size() != 64) return bad("shard ", shard.file(), " has no SHA-256");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DatasetManifest> ReadManifest(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/manifest.pbtxt");
  absl::StatusOr<std::string> text = ReadFile(path, size_t{64} << 20);
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
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (!parser.ParseFromString(*text, &manifest)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ":", error.text()));
  }
  FT_RETURN_IF_ERROR(Annotate(Check(manifest), path));
  return manifest;
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

int64_t PictureCount(const DatasetSplit& split) {
  int64_t count = 0;
  for (const DatasetShard& shard : split.shard()) count += shard.count();
  return count;
}

int64_t PictureBytes(const DatasetManifest& manifest) {
  return int64_t{manifest.channels()} * manifest.height() * manifest.width();
}

std::string PrintManifest(const DatasetManifest& manifest) {
  std::string text;
  google::protobuf::TextFormat::PrintToString(manifest, &text);
  return text;
}

}  // namespace finetune
