#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "data_tools/archive.h"
#include "data_tools/image_source.h"
#include "src/base/atomic_file.h"
#include "src/base/list_folder.h"
#include "src/data/decode/image_ending.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

constexpr char kLabelEnding[] = ".cls";

bool IsWanted(const std::string& name) {
  return !HasHiddenPart(name) && (HasImageEnding(name) || absl::EndsWith(name, kLabelEnding) ||
                                  fs::path(name).filename() == "val_annotations.txt");
}

// Returns all files in a folder and its subfolders, sorted.
std::vector<fs::path> FilesBelow(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    if (it->is_regular_file(error)) files.push_back(it->path());
  }
  absl::c_sort(files);
  return files;
}

// Returns the folder that directly contains the classes or splits: `folder`, or a folder in it. An
// archive often has a single top folder around them.
fs::path TopFolder(fs::path folder) {
  while (true) {
    std::vector<fs::path> entries;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) entries.push_back(entry.path());
    if (entries.size() != 1 || !fs::is_directory(entries[0], error) ||
        entries[0].filename() == "train") {
      return folder;
    }
    // If the only entry is a folder with files in it, this folder is a class, so `folder` contains
    // the classes.
    bool has_folders = false;
    for (const auto& entry : fs::directory_iterator(entries[0], error)) {
      if (!entry.is_directory(error)) return folder;
      has_folders = true;
    }
    if (!has_folders) return folder;
    folder = entries[0];
  }
}

std::string SplitOf(const std::string& archive) {
  const std::string name = absl::AsciiStrToLower(fs::path(archive).filename().string());
  for (const char* split : {"val", "test"}) {
    if (absl::StartsWith(name, split)) return split;
  }
  return "train";
}

// Returns the key of the sample that a file belongs to: its path up to the first dot of its name.
// In WebDataset all files of a sample (such as 1.jpg and 1.cls) have the same key.
std::string KeyOf(const fs::path& file) {
  const std::string name = file.filename().string();
  return (file.parent_path() / name.substr(0, name.find('.'))).string();
}

// Adds the images of one unpacked archive of WebDataset, with the labels of their .cls files.
absl::Status AddSamples(const fs::path& folder, std::vector<LabelledFile>* images) {
  std::map<std::string, std::string> labels;
  const std::vector<fs::path> files = FilesBelow(folder);
  for (const fs::path& file : files) {
    if (file.extension() != kLabelEnding) continue;
    FT_ASSIGN_OR_RETURN(const std::string text, ReadFile(file.string(), size_t{1} << 16));
    labels[KeyOf(file)] = std::string(absl::StripAsciiWhitespace(text));
  }
  for (const fs::path& file : files) {
    if (!HasImageEnding(file.string())) continue;
    const auto label = labels.find(KeyOf(file));
    if (label == labels.end() || label->second.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          file.string(), ": expected a file ", fs::path(KeyOf(file)).filename().string(),
          kLabelEnding, " with its class beside it, as others have"));
    }
    images->push_back({file.string(), file.string(), label->second});
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ListArchives(const std::string& input) {
  std::error_code error;
  if (!fs::is_directory(input, error)) return std::vector<std::string>{input};
  FT_ASSIGN_OR_RETURN(std::vector<std::string> names, ListFolder(input));
  for (std::string& name : names) name = (fs::path(input) / name).string();
  return names;
}

}  // namespace

bool IsArchiveLayout(const std::string& input) {
  std::error_code error;
  if (fs::is_regular_file(input, error)) return true;
  if (!fs::is_directory(input, error)) return false;
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(input);
  return names.ok() && !names->empty() && absl::c_all_of(*names, [](const std::string& name) {
           return absl::EndsWith(name, ".tar");
         });
}

absl::StatusOr<ImageSource> ListArchiveLayout(const std::string& input, const std::string& folder,
                                              const std::function<bool(int64_t done)>& progress,
                                              const Warn& warn) {
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> archives, ListArchives(input));
  // For each archive: the folder of its unpacked files, and the archive's path, by which messages
  // name that folder.
  std::vector<std::pair<std::string, std::string>> places;
  bool has_labels = false;
  for (size_t i = 0; i < archives.size(); ++i) {
    const fs::path place = fs::path(folder) / absl::StrCat(i);
    std::error_code error;
    fs::create_directory(place, error);
    const auto wanted = [&](const std::string& name) {
      has_labels = has_labels || absl::EndsWith(name, kLabelEnding);
      return IsWanted(name);
    };
    FT_ASSIGN_OR_RETURN(const int64_t passed,
                        UnpackFiles(archives[i], place.string(), wanted, progress));
    if (passed > 0 && warn) {
      warn(absl::StrCat("left out ", passed, passed == 1 ? " file" : " files", " of ", archives[i],
                        ": links, hidden files, and files whose names do not end as an image's"));
    }
    places.emplace_back(place.string(), archives[i]);
  }
  const auto renamed = [&](std::string text) {
    for (const auto& [place, archive] : places) {
      text = absl::StrReplaceAll(text, {{place + "/", archive + ": "}, {place, archive}});
    }
    return text;
  };
  const auto list = [&]() -> absl::StatusOr<ImageSource> {
    if (!has_labels) {
      if (places.size() > 1) {
        return absl::InvalidArgumentError(
            absl::StrCat(input,
                         ": found several archives without .cls files; expected one archive, "
                         "or WebDataset's, where each image has a .cls file beside it"));
      }
      return ListFolderLayout(TopFolder(places[0].first).string(), [&](const std::string& text) {
        if (warn) warn(renamed(text));
      });
    }
    LabelledSplits splits;
    for (const char* name : {"train", "val", "test"}) {
      std::vector<LabelledFile> images;
      for (const auto& [place, archive] : places) {
        if ((places.size() == 1 ? "train" : SplitOf(archive)) != std::string(name)) continue;
        FT_RETURN_IF_ERROR(AddSamples(place, &images));
      }
      if (!images.empty()) splits.emplace_back(name, std::move(images));
    }
    if (splits.empty() || splits[0].first != "train") {
      return absl::InvalidArgumentError(absl::StrCat(input, ": has no training images"));
    }
    if (splits.size() == 2) splits[1].first = "test";
    return NumberLabels(splits, "", [&](const std::string& text) {
      if (warn) warn(renamed(text));
    });
  };
  absl::StatusOr<ImageSource> source = list();
  if (!source.ok()) {
    return absl::Status(source.status().code(), renamed(std::string(source.status().message())));
  }
  for (SourceSplit& split : source->splits) {
    for (SourceImage& image : split.images) {
      image.alias = renamed(image.path);
      image.listed.clear();
    }
  }
  return source;
}

}  // namespace finetune
