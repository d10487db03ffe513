#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "data_tools/image_source.h"
#include "src/base/atomic_file.h"
#include "src/base/list_folder.h"
#include "src/data/decode/image_ending.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// The files that are left out for one reason: their number, and the path of the first one.
struct PassedOver {
  int64_t count = 0;
  std::string first;

  void Add(const fs::path& path) {
    if (count++ == 0) first = path.string();
  }
};

// Everything in the input folder that is left out, by reason.
struct LeftOut {
  std::map<std::string, PassedOver> kinds;  // images of formats that are not read, by ending
  PassedOver others, loose, folders, links;

  // Warns with one sentence for each reason.
  void Report(const Warn& warn) const {
    if (!warn) return;
    if (!kinds.empty()) {
      const auto text = [](std::string* out, const auto& kind) {
        absl::StrAppend(out, kind.second.count, " ", kind.first);
      };
      warn(absl::StrCat("left out ", absl::StrJoin(kinds, ", ", text), ", the first ",
                        kinds.begin()->second.first, ": this kind is not read; convert them"));
    }
    const auto report = [&](const PassedOver& passed, absl::string_view one, absl::string_view many,
                            absl::string_view why) {
      if (passed.count == 0) return;
      warn(absl::StrCat("left out ", passed.count, " ", passed.count == 1 ? one : many,
                        ", the first ", passed.first, ": ", why));
    };
    report(others, "file", "files", "the name does not end as an image's");
    report(loose, "file beside the class folders", "files beside the class folders",
           "an image's class is the folder that it is in");
    report(folders, "folder", "folders", "beside train only val and test are read");
    report(links, "link", "links", "it leads back to a folder that it is in");
  }
};

// The paths of the images of each class, by class name. Both are sorted, so that the result does
// not depend on the file system.
using Classes = std::map<std::string, std::vector<std::string>>;

// Returns the paths of the entries of a folder, sorted. Leaves out hidden ones, whose names begin
// with a dot.
absl::StatusOr<std::vector<fs::path>> ListVisible(const fs::path& folder) {
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(folder.string()));
  std::vector<fs::path> entries;
  for (const std::string& name : names) {
    if (!absl::StartsWith(name, ".")) entries.push_back(folder / name);
  }
  return entries;
}

bool IsFolder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

// The chain of folders from the input folder to the folder that is being read, as absolute paths in
// which links are resolved.
class Trail {
 public:
  Trail() = default;
  Trail Into(const fs::path& folder) const {
    Trail further = *this;
    further.folders_.push_back(RealPath(folder));
    return further;
  }

  const fs::path& end() const { return folders_.back(); }

  // Returns whether `folder` is a folder of the trail or contains one, which is possible only if it
  // is a link. If such a link were followed, images of other classes and splits would be read as
  // images of this class.
  bool LeadsBack(const fs::path& folder) const {
    const fs::path real = RealPath(folder);
    return absl::c_any_of(folders_, [&](const fs::path& passed) {
      return std::mismatch(real.begin(), real.end(), passed.begin(), passed.end()).first ==
             real.end();
    });
  }

 private:
  static fs::path RealPath(const fs::path& folder) {
    std::error_code error;
    fs::path real = fs::canonical(folder, error);
    return error ? folder : real;
  }

  std::vector<fs::path> folders_;
};

// Adds the images in `folder` and its subfolders to `images`. `trail`: the chain of folders down to
// `folder`. `seen`: the folders of this class that were already read, because several links may
// lead to the same folder.
absl::Status Walk(const fs::path& folder, const Trail& trail, std::set<fs::path>* seen,
                  std::vector<std::string>* images, LeftOut* left_out) {
  if (!seen->insert(trail.end()).second) return absl::OkStatus();
  FT_ASSIGN_OR_RETURN(const std::vector<fs::path> entries, ListVisible(folder));
  for (const fs::path& entry : entries) {
    if (IsFolder(entry)) {
      if (trail.LeadsBack(entry)) {
        left_out->links.Add(entry);
      } else {
        FT_RETURN_IF_ERROR(Walk(entry, trail.Into(entry), seen, images, left_out));
      }
      continue;
    }
    const std::string ending = OtherImageEnding(entry.string());
    if (HasImageEnding(entry.string())) {
      images->push_back(entry.string());
    } else if (!ending.empty()) {
      left_out->kinds[ending].Add(entry);
    } else {
      left_out->others.Add(entry);
    }
  }
  return absl::OkStatus();
}

// Returns the classes of a folder and their images. `trail`: the chain of folders down to `folder`.
absl::StatusOr<Classes> ListClasses(const fs::path& folder, const Trail& trail, LeftOut* left_out) {
  Classes classes;
  FT_ASSIGN_OR_RETURN(const std::vector<fs::path> entries, ListVisible(folder));
  for (const fs::path& entry : entries) {
    if (!IsFolder(entry)) {
      left_out->loose.Add(entry);
      continue;
    }
    if (trail.LeadsBack(entry)) {
      left_out->links.Add(entry);
      continue;
    }
    std::vector<std::string>& images = classes[entry.filename().string()];
    std::set<fs::path> seen;
    FT_RETURN_IF_ERROR(Walk(entry, trail.Into(entry), &seen, &images, left_out));
    if (images.empty()) {
      return absl::NotFoundError(absl::StrCat("the class folder ", entry.string(),
                                              " has no images; remove it or fill it"));
    }
  }
  if (classes.empty()) {
    return absl::NotFoundError(absl::StrCat("no class folders in ", folder.string(), "; expected ",
                                            (folder / "CLASS/*.jpg").string(), " (or .png)"));
  }
  return classes;
}

// Returns the classes of a split that is stored as Tiny ImageNet's validation split. All its images
// are in FOLDER/images. The file `list` has a line "NAME<tab>CLASS<tab>..." for each image.
absl::StatusOr<Classes> ListAnnotated(const fs::path& folder, const fs::path& list) {
  FT_ASSIGN_OR_RETURN(const std::string text, ReadFile(list.string()));
  Classes classes;
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::string where = absl::StrCat(list.string(), ":", ++number);
    const std::vector<std::string> cells =
        absl::StrSplit(absl::StripTrailingAsciiWhitespace(line), '\t');
    if (cells.size() == 1 && cells[0].empty()) continue;
    if (cells.size() < 2 || cells[0].empty() || cells[1].empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": expected a file's name, a tab and its class"));
    }
    // The file may come from an archive of a stranger, whose names must stay in their folder.
    if (fs::path(cells[0]).filename() != cells[0]) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": found ", cells[0],
                                                     "; expected the name of a file in ",
                                                     (folder / "images").string()));
    }
    classes[cells[1]].push_back((folder / "images" / cells[0]).string());
  }
  for (auto& [name, files] : classes) std::sort(files.begin(), files.end());
  return classes;
}

// The name of each split and its classes. The training split comes first.
using Splits = std::vector<std::pair<std::string, Classes>>;

// Returns the splits of the input folder. If there is only one, HoldOut() must divide it later.
absl::StatusOr<Splits> ListSplits(const fs::path& root, LeftOut* left_out) {
  std::error_code error;
  if (!fs::exists(root, error))
    return absl::NotFoundError(absl::StrCat("no folder ", root.string()));
  if (!IsFolder(root)) {
    return absl::InvalidArgumentError(
        absl::StrCat(root.string(),
                     ": found a file; expected a folder with a folder for each "
                     "class"));
  }
  Splits splits;
  const Trail trail = Trail().Into(root);
  if (!IsFolder(root / "train")) {
    FT_ASSIGN_OR_RETURN(Classes classes, ListClasses(root, trail, left_out));
    splits.emplace_back("train", std::move(classes));
    return splits;
  }
  FT_ASSIGN_OR_RETURN(const std::vector<fs::path> entries, ListVisible(root));
  for (const fs::path& entry : entries) {
    const std::string name = entry.filename().string();
    if (!IsFolder(entry)) {
      left_out->loose.Add(entry);
    } else if (name != "train" && name != "val" && name != "test") {
      left_out->folders.Add(entry);
    }
  }
  for (const char* name : {"train", "val", "test"}) {
    const fs::path folder = root / name;
    if (!IsFolder(folder)) continue;
    if (trail.LeadsBack(folder)) {
      return absl::InvalidArgumentError(absl::StrCat(
          folder.string(),
          ": found a link that leads back to a folder that it is in; expected the folder of a "
          "split"));
    }
    if (const fs::path list = folder / "val_annotations.txt"; fs::exists(list, error)) {
      FT_ASSIGN_OR_RETURN(Classes annotated, ListAnnotated(folder, list));
      splits.emplace_back(name, std::move(annotated));
      continue;
    }
    // In Tiny ImageNet the test images have no labels, so they are left out.
    if (splits.size() == 2 && fs::exists(root / "val" / "val_annotations.txt", error)) {
      left_out->folders.Add(folder);
      continue;
    }
    FT_ASSIGN_OR_RETURN(Classes classes, ListClasses(folder, trail.Into(folder), left_out));
    splits.emplace_back(name, std::move(classes));
  }
  if (splits.size() == 1) {
    return absl::NotFoundError(absl::StrCat(root.string(), " has train but neither test nor val"));
  }
  if (splits.size() == 2) splits[1].first = "test";
  return splits;
}

// Gives the classes of the training split numbers, in the order of their names. Errors:
// InvalidArgument for a class that another split has and the training split lacks.
absl::StatusOr<ImageSource> Numbered(const Splits& splits) {
  ImageSource source;
  std::map<std::string, int> numbers;
  for (const auto& [name, files] : splits[0].second) {
    numbers.emplace(name, static_cast<int>(numbers.size()));
    source.class_names.push_back(name);
  }
  for (const auto& [split, classes] : splits) {
    SourceSplit& numbered = source.splits.emplace_back();
    numbered.name = split;
    for (const auto& [name, files] : classes) {
      const auto number = numbers.find(name);
      if (number == numbers.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat(fs::path(files.front()).parent_path().string(), ": class ", name,
                         " is held out but has no training images"));
      }
      for (const std::string& path : files) {
        numbered.images.push_back({path, number->second, "", ""});
      }
    }
  }
  return source;
}

}  // namespace

absl::StatusOr<ImageSource> ListFolderLayout(const std::string& root, const Warn& warn) {
  LeftOut left_out;
  FT_ASSIGN_OR_RETURN(const Splits splits, ListSplits(root, &left_out));
  left_out.Report(warn);
  return Numbered(splits);
}

}  // namespace finetune
