#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "data_tools/converters.h"
#include "data_tools/decode.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/list_folder.h"
#include "src/data/builder.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// Files of each class, sorted, so that the result does not depend on the file system.
using Classes = std::map<std::string, std::vector<std::string>>;

// What is in a folder, sorted; hidden files, which are the system's, are left out.
absl::StatusOr<std::vector<fs::path>> ListVisible(const fs::path& folder) {
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(folder.string()));
  std::vector<fs::path> entries;
  for (const std::string& name : names) {
    if (!absl::StartsWith(name, ".")) entries.push_back(folder / name);
  }
  return entries;
}

absl::StatusOr<Classes> ListClasses(const fs::path& folder) {
  Classes classes;
  FT_ASSIGN_OR_RETURN(const std::vector<fs::path> entries, ListVisible(folder));
  for (const fs::path& entry : entries) {
    std::error_code ignored;
    if (!fs::is_directory(entry, ignored)) continue;
    std::vector<std::string>& pictures = classes[entry.filename().string()];
    FT_ASSIGN_OR_RETURN(const std::vector<fs::path> files, ListVisible(entry));
    for (const fs::path& file : files) {
      const std::string ending = absl::AsciiStrToLower(file.extension().string());
      if (ending == ".jpg" || ending == ".jpeg" || ending == ".png") {
        pictures.push_back(file.string());
      }
    }
    if (pictures.empty()) {
      return absl::NotFoundError(absl::StrCat("the class folder ", entry.string(),
                                              " has no .jpg, .jpeg or .png files; remove it or "
                                              "fill it"));
    }
  }
  if (classes.empty()) {
    return absl::NotFoundError(absl::StrCat("no class folders in ", folder.string(), "; expected ",
                                            (folder / "CLASS/*.jpg").string(), " (or .png)"));
  }
  return classes;
}

// Moves `fraction` of each class, at least one picture, to the result, spread evenly over the
// class.
Classes HoldOut(double fraction, Classes* classes) {
  Classes held_out;
  for (auto& [name, files] : *classes) {
    const size_t n = files.size();
    if (fraction <= 0 || n < 2) continue;
    const size_t k = std::clamp<size_t>(std::llround(static_cast<double>(n) * fraction), 1, n - 1);
    std::vector<std::string> kept;
    for (size_t i = 0; i < n; ++i) {
      ((i + 1) * k / n > i * k / n ? held_out[name] : kept).push_back(std::move(files[i]));
    }
    files = std::move(kept);
  }
  return held_out;
}

int64_t Count(const Classes& classes) {
  int64_t n = 0;
  for (const auto& [name, files] : classes) n += static_cast<int64_t>(files.size());
  return n;
}

// Splits by name, the training split first.
using Splits = std::vector<std::pair<std::string, Classes>>;

absl::StatusOr<Splits> ListSplits(const fs::path& root, double val_fraction) {
  std::error_code error;
  if (!fs::is_directory(root, error)) {
    return absl::NotFoundError(absl::StrCat("no folder ", root.string()));
  }
  Splits splits(1);
  splits[0].first = "train";
  if (!fs::is_directory(root / "train", error)) {
    FT_ASSIGN_OR_RETURN(splits[0].second, ListClasses(root));
    if (Classes held_out = HoldOut(val_fraction, &splits[0].second); !held_out.empty()) {
      splits.emplace_back("test", std::move(held_out));
    }
    return splits;
  }
  FT_ASSIGN_OR_RETURN(splits[0].second, ListClasses(root / "train"));
  for (const char* name : {"val", "test"}) {
    if (!fs::is_directory(root / name, error)) continue;
    FT_ASSIGN_OR_RETURN(Classes classes, ListClasses(root / name));
    splits.emplace_back(name, std::move(classes));
  }
  if (splits.size() == 1) {
    return absl::NotFoundError(absl::StrCat(root.string(), " has train but neither test nor val"));
  }
  if (splits.size() == 2) splits[1].first = "test";
  return splits;
}

}  // namespace

absl::Status ConvertImageFolder(const ConvertOptions& options, const FolderOptions& folder) {
  FT_RETURN_IF_ERROR(DatasetBuilder::CheckFolder(options.output, options.force));
  FT_ASSIGN_OR_RETURN(const Splits splits, ListSplits(options.input, folder.val_fraction));
  const Classes& train = splits[0].second;
  std::vector<std::string> names;
  std::map<std::string, int> label;
  for (const auto& [name, files] : train) {
    label[name] = static_cast<int>(names.size());
    names.push_back(name);
  }
  for (const auto& [split, classes] : splits) {
    for (const auto& [name, files] : classes) {
      if (label.contains(name)) continue;
      return absl::InvalidArgumentError(absl::StrCat(fs::path(files.front()).parent_path().string(),
                                                     ": class ", name,
                                                     " is held out but has no training pictures"));
    }
  }
  const auto load = [&](const std::string& path) -> absl::StatusOr<Picture> {
    FT_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path));
    FT_ASSIGN_OR_RETURN(Picture picture, DecodePicture(path, bytes));
    if (folder.size == 0) return picture;
    absl::StatusOr<Picture> square = FitSquare(picture, folder.size);
    if (!square.ok()) return Annotate(square.status(), path);
    return square;
  };
  FT_ASSIGN_OR_RETURN(const Picture first, load(train.begin()->second.front()));

  DatasetBuilder::Options build;
  build.folder = options.output;
  build.force = options.force;
  build.shards = options.shards;
  const fs::path root = fs::absolute(options.input).lexically_normal();
  build.name = (root.has_filename() ? root : root.parent_path()).filename().string();
  build.source = options.input;
  build.class_names = names;
  build.height = first.height;
  build.width = first.width;
  build.channels = 3;
  build.progress = options.progress;
  FT_ASSIGN_OR_RETURN(DatasetBuilder builder, DatasetBuilder::Create(build));
  for (const auto& [split, classes] : splits) {
    FT_RETURN_IF_ERROR(builder.BeginSplit(split, Count(classes)));
    for (const auto& [name, files] : classes) {
      for (const std::string& path : files) {
        FT_ASSIGN_OR_RETURN(const Picture picture, load(path));
        if (picture.height != first.height || picture.width != first.width) {
          return absl::InvalidArgumentError(absl::StrCat(
              path, ": is ", picture.height, "x", picture.width, " and the first picture ",
              first.height, "x", first.width, "; give --size=N to fit all to N x N"));
        }
        FT_RETURN_IF_ERROR(builder.Add(picture.pixels, label.at(name)));
      }
    }
  }
  return builder.Finish();
}

}  // namespace finetune
