#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "data_tools/builder_options.h"
#include "data_tools/converters.h"
#include "data_tools/decode.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/list_folder.h"
#include "src/data/builder.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

constexpr std::array<absl::string_view, 5> kReadEndings = {".jpg", ".jpeg", ".jpe", ".jfif",
                                                           ".png"};
// Pictures that other programs read.
constexpr std::array<absl::string_view, 19> kOtherEndings = {
    ".webp", ".bmp", ".tif",  ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".avif",
    ".heic", ".jp2", ".heif", ".jxl",  ".ico", ".tga", ".dng", ".svg", ".exr"};

// Files that are passed over for one reason.
struct PassedOver {
  int64_t count = 0;
  std::string first;

  void Add(const fs::path& path) {
    if (count++ == 0) first = path.string();
  }
};

// Everything in a folder that is not read.
struct LeftOut {
  std::map<std::string, PassedOver> kinds;  // pictures of other kinds, by ending
  PassedOver others, loose, folders, links;

  // One sentence for each reason.
  void Report(const ConvertOptions& options) const {
    if (!options.warn) return;
    if (!kinds.empty()) {
      const auto text = [](std::string* out, const auto& kind) {
        absl::StrAppend(out, kind.second.count, " ", kind.first);
      };
      options.warn(absl::StrCat("left out ", absl::StrJoin(kinds, ", ", text), ", the first ",
                                kinds.begin()->second.first,
                                ": only JPEG and PNG are read; convert them"));
    }
    const auto report = [&](const PassedOver& passed, absl::string_view one, absl::string_view many,
                            absl::string_view why) {
      if (passed.count == 0) return;
      options.warn(absl::StrCat("left out ", passed.count, " ", passed.count == 1 ? one : many,
                                ", the first ", passed.first, ": ", why));
    };
    report(others, "file", "files", "the name does not end as a picture's");
    report(loose, "file beside the class folders", "files beside the class folders",
           "a picture's class is the folder that it is in");
    report(folders, "folder", "folders", "beside train only val and test are read");
    report(links, "link", "links", "it leads back to a folder that it is in");
  }
};

// The files of each class, sorted, so that the result does not depend on the file system.
using Classes = std::map<std::string, std::vector<std::string>>;

// The content of a folder, sorted. Hidden files belong to the system and are left out.
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

// A folder and those that led to it, from the input on, by the paths that they have without links.
class Trail {
 public:
  Trail() = default;
  Trail Into(const fs::path& folder) const {
    Trail further = *this;
    further.folders_.push_back(RealPath(folder));
    return further;
  }

  const fs::path& end() const { return folders_.back(); }

  // Whether `folder` is a folder of the trail, or holds one. Only a link leads there, and behind it
  // the pictures of other classes and splits would be read as those of this one.
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

// Adds the pictures below the end of `trail`, which is `folder`, to `pictures`. `seen` has the
// folders that were walked: several links may lead to one.
absl::Status Walk(const fs::path& folder, const Trail& trail, std::set<fs::path>* seen,
                  std::vector<std::string>* pictures, LeftOut* left_out) {
  if (!seen->insert(trail.end()).second) return absl::OkStatus();
  FT_ASSIGN_OR_RETURN(const std::vector<fs::path> entries, ListVisible(folder));
  for (const fs::path& entry : entries) {
    if (IsFolder(entry)) {
      if (trail.LeadsBack(entry)) {
        left_out->links.Add(entry);
      } else {
        FT_RETURN_IF_ERROR(Walk(entry, trail.Into(entry), seen, pictures, left_out));
      }
      continue;
    }
    const std::string ending = absl::AsciiStrToLower(entry.extension().string());
    if (absl::c_linear_search(kReadEndings, ending)) {
      pictures->push_back(entry.string());
    } else if (absl::c_linear_search(kOtherEndings, ending)) {
      left_out->kinds[ending].Add(entry);
    } else {
      left_out->others.Add(entry);
    }
  }
  return absl::OkStatus();
}

// `trail` ends in `folder`.
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
    std::vector<std::string>& pictures = classes[entry.filename().string()];
    std::set<fs::path> seen;
    FT_RETURN_IF_ERROR(Walk(entry, trail.Into(entry), &seen, &pictures, left_out));
    if (pictures.empty()) {
      return absl::NotFoundError(absl::StrCat("the class folder ", entry.string(),
                                              " has no JPEG or PNG files; remove it or fill it"));
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

// The splits as the folders have them: one alone is yet to be divided.
absl::StatusOr<Splits> ListSplits(const fs::path& root, LeftOut* left_out) {
  std::error_code error;
  if (!fs::exists(root, error))
    return absl::NotFoundError(absl::StrCat("no folder ", root.string()));
  if (!IsFolder(root)) {
    return absl::InvalidArgumentError(
        absl::StrCat(root.string(),
                     ": found a file; expected a folder with a folder for each "
                     "class. Unpack an archive first"));
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
    FT_ASSIGN_OR_RETURN(Classes classes, ListClasses(folder, trail.Into(folder), left_out));
    splits.emplace_back(name, std::move(classes));
  }
  if (splits.size() == 1) {
    return absl::NotFoundError(absl::StrCat(root.string(), " has train but neither test nor val"));
  }
  if (splits.size() == 2) splits[1].first = "test";
  return splits;
}

// The number of each training class. Errors: InvalidArgument for a class of another split only.
absl::StatusOr<std::map<std::string, int>> NumberClasses(const Splits& splits) {
  std::map<std::string, int> numbers;
  for (const auto& [name, files] : splits[0].second) {
    numbers.emplace(name, static_cast<int>(numbers.size()));
  }
  for (const auto& [split, classes] : splits) {
    for (const auto& [name, files] : classes) {
      if (numbers.contains(name)) continue;
      return absl::InvalidArgumentError(absl::StrCat(fs::path(files.front()).parent_path().string(),
                                                     ": class ", name,
                                                     " is held out but has no training pictures"));
    }
  }
  return numbers;
}

// Takes the files out of the splits. Errors: InvalidArgument where a class keeps none.
absl::Status Remove(const std::map<std::string, std::string>& files, Splits* splits) {
  for (auto& [split, classes] : *splits) {
    for (auto& [name, pictures] : classes) {
      std::erase_if(pictures, [&](const std::string& path) { return files.contains(path); });
      if (!pictures.empty()) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "class ", name, " of ", split, " has no picture that can be read; remove or repair it"));
    }
  }
  return absl::OkStatus();
}

// Reads the pictures of a folder once, and makes a data set of them.
class FolderReader {
 public:
  FolderReader(const ConvertOptions& options, const FolderOptions& folder,
               DatasetBuilder::Options build)
      : options_(options), folder_(folder), build_(std::move(build)) {}

  // Writes a data set of the pictures. From the first that cannot be read on, writes nothing and
  // looks for more of them: see bad(). Errors: those of the builder, and InvalidArgument for
  // pictures of different sizes.
  absl::Status Run(const Splits& splits) {
    FT_ASSIGN_OR_RETURN(const auto numbers, NumberClasses(splits));
    for (const auto& [name, number] : numbers) build_.class_names.push_back(name);
    for (const auto& [split, classes] : splits) {
      const int64_t total = Count(classes);
      int64_t done = 0;
      bool begun = false;
      for (const auto& [name, files] : classes) {
        for (const std::string& path : files) {
          ++done;
          absl::StatusOr<Picture> picture = Load(path);
          if (!picture.ok()) {
            if (absl::IsResourceExhausted(picture.status())) return picture.status();
            bad_.emplace(path, picture.status().message());
            builder_.reset();
          }
          if (!bad_.empty()) {
            if (options_.progress && !options_.progress(split, done, total)) {
              return absl::CancelledError("stopped; nothing was written");
            }
            continue;
          }
          FT_RETURN_IF_ERROR(Fit(path, *picture));
          if (!std::exchange(begun, true)) FT_RETURN_IF_ERROR(builder_->BeginSplit(split, total));
          FT_RETURN_IF_ERROR(builder_->Add(picture->pixels, numbers.at(name)));
        }
      }
    }
    if (!bad_.empty()) return absl::OkStatus();
    if (damaged_.count > 0 && options_.warn) {
      options_.warn(absl::StrCat("read ", damaged_.count,
                                 " JPEG files with faults that decoders pass over, the first ",
                                 damaged_.first));
    }
    return builder_->Finish();
  }

  // The reason by path of each picture that could not be read.
  const std::map<std::string, std::string>& bad() const { return bad_; }

 private:
  absl::StatusOr<Picture> Load(const std::string& path) {
    FT_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path));
    FT_ASSIGN_OR_RETURN(Picture picture, DecodePicture(path, bytes, folder_.orientation));
    if (!picture.warning.empty()) damaged_.Add(absl::StrCat(path, ": ", picture.warning));
    if (folder_.size == 0) return picture;
    absl::StatusOr<Picture> square = FitSquare(picture, folder_.size);
    if (!square.ok()) return Annotate(square.status(), path);
    return square;
  }

  // Holds the picture against the first one, which makes the builder.
  absl::Status Fit(const std::string& path, const Picture& picture) {
    if (!builder_.has_value()) {
      build_.height = picture.height;
      build_.width = picture.width;
      FT_ASSIGN_OR_RETURN(DatasetBuilder builder, DatasetBuilder::Create(build_));
      builder_.emplace(std::move(builder));
    }
    if (picture.height == build_.height && picture.width == build_.width) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": is ", picture.height, "x", picture.width, " and the first picture ", build_.height,
        "x", build_.width, " (height x width); give --size=N to fit all to NxN"));
  }

  const ConvertOptions& options_;
  const FolderOptions& folder_;
  DatasetBuilder::Options build_;
  std::optional<DatasetBuilder> builder_;
  std::map<std::string, std::string> bad_;
  PassedOver damaged_;
};

}  // namespace

absl::Status ConvertImageFolder(const ConvertOptions& options, const FolderOptions& folder) {
  FT_RETURN_IF_ERROR(DatasetBuilder::CheckFolder(options.output, options.force));
  LeftOut left_out;
  FT_ASSIGN_OR_RETURN(Splits listed, ListSplits(options.input, &left_out));
  left_out.Report(options);
  const auto divided = [&] {
    Splits splits = listed;
    if (splits.size() > 1) return splits;
    Classes held_out = HoldOut(folder.val_fraction, &splits[0].second);
    if (!held_out.empty()) splits.emplace_back("test", std::move(held_out));
    return splits;
  };

  DatasetBuilder::Options build = BuilderOptions(options);
  const fs::path root = fs::absolute(options.input).lexically_normal();
  build.name = (root.has_filename() ? root : root.parent_path()).filename().string();
  build.channels = 3;
  FolderReader first(options, folder, build);
  FT_RETURN_IF_ERROR(first.Run(divided()));
  if (first.bad().empty()) return absl::OkStatus();

  int64_t total = 0;
  for (const auto& [split, classes] : listed) total += Count(classes);
  for (const auto& [path, reason] : first.bad()) build.skipped.push_back(reason);
  const std::string list = absl::StrJoin(build.skipped, "\n");
  const std::string count = absl::StrCat(build.skipped.size(), " of ", total, " pictures");
  if (!folder.skip_bad) {
    return absl::DataLossError(absl::StrCat(list, "\n", count,
                                            " cannot be read: repair or remove them, or leave "
                                            "them out with --on_bad=skip"));
  }
  FT_RETURN_IF_ERROR(Remove(first.bad(), &listed));
  if (options.warn) {
    options.warn(absl::StrCat("left out ", count, " that cannot be read:\n", list));
  }
  // As if they were not there: the same pictures are held out as without them.
  FolderReader second(options, folder, std::move(build));
  FT_RETURN_IF_ERROR(second.Run(divided()));
  if (second.bad().empty()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(second.bad().begin()->second, "; it was whole a moment ago. Run this again"));
}

}  // namespace finetune
