#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "data_tools/converters.h"
#include "data_tools/decode.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/data/builder.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// Files of each class, sorted, so that the result does not depend on the file system.
using Classes = std::map<std::string, std::vector<std::string>>;

absl::StatusOr<Classes> ListClasses(const fs::path& folder) {
  Classes classes;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (!entry.is_directory()) continue;
    std::vector<std::string> files;
    for (const fs::directory_entry& file : fs::directory_iterator(entry.path(), error)) {
      const std::string ending = absl::AsciiStrToLower(file.path().extension().string());
      if (ending == ".jpg" || ending == ".jpeg" || ending == ".png")
        files.push_back(file.path().string());
    }
    std::sort(files.begin(), files.end());
    if (!files.empty()) classes[entry.path().filename().string()] = std::move(files);
  }
  if (error)
    return absl::NotFoundError(
        absl::StrCat("cannot read ", folder.string(), ": ", error.message()));
  if (classes.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no class folders with .jpg, .jpeg or .png files in ", folder.string()));
  }
  return classes;
}

}  // namespace

absl::Status ConvertImageFolder(const ConvertOptions& options, const FolderOptions& folder) {
  const fs::path root = options.input;
  std::error_code error;
  if (!fs::is_directory(root, error))
    return absl::NotFoundError(absl::StrCat("no folder ", options.input));
  Classes train, test;
  if (fs::is_directory(root / "train", error)) {
    const fs::path held_out = fs::is_directory(root / "test", error) ? root / "test" : root / "val";
    FT_ASSIGN_OR_RETURN(train, ListClasses(root / "train"));
    FT_ASSIGN_OR_RETURN(test, ListClasses(held_out));
  } else {
    FT_ASSIGN_OR_RETURN(train, ListClasses(root));
    for (auto& [name, files] : train) {
      // Every n-th file, so that both splits see the whole of a class.
      const auto every =
          static_cast<size_t>(std::max(2.0, 1 / std::max(folder.val_fraction, 1e-9)));
      std::vector<std::string> kept;
      for (size_t i = 0; i < files.size(); ++i)
        (i % every == every - 1 ? test[name] : kept).push_back(files[i]);
      files = std::move(kept);
    }
  }
  std::vector<std::string> names;
  std::map<std::string, int> label;
  for (const auto& [name, files] : train) {
    label[name] = static_cast<int>(names.size());
    names.push_back(name);
  }
  const auto count = [](const Classes& classes) {
    int64_t n = 0;
    for (const auto& [name, files] : classes) n += static_cast<int64_t>(files.size());
    return n;
  };
  for (const auto& [name, files] : test) {
    if (!label.contains(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("class ", name, " is held out but has no training pictures"));
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
  build.name = fs::path(options.input).filename().string();
  build.source = options.input;
  build.class_names = names;
  build.height = first.height;
  build.width = first.width;
  build.channels = 3;
  build.progress = options.progress;
  FT_ASSIGN_OR_RETURN(DatasetBuilder builder, DatasetBuilder::Create(build));
  for (const auto& [split, classes] :
       {std::pair<const char*, const Classes&>{"train", train}, {"test", test}}) {
    FT_RETURN_IF_ERROR(builder.BeginSplit(split, count(classes)));
    for (const auto& [name, files] : classes) {
      for (const std::string& path : files) {
        FT_ASSIGN_OR_RETURN(const Picture picture, load(path));
        if (picture.height != first.height || picture.width != first.width) {
          return absl::InvalidArgumentError(absl::StrCat(
              path, ": is ", picture.height, "x", picture.width, " and the first picture ",
              first.height, "x", first.width, "; give --size=N to fit all to N x N"));
        }
        FT_RETURN_IF_ERROR(Annotate(builder.Add(picture.pixels, label.at(name)), path));
      }
    }
  }
  return builder.Finish();
}

}  // namespace finetune
