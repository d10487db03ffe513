#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "data_tools/builder_options.h"
#include "data_tools/converters.h"
#include "data_tools/image_converter.h"
#include "data_tools/image_source.h"
#include "data_tools/temporary_folder.h"
#include "src/data/builder.h"

namespace finetune {

namespace fs = std::filesystem;

namespace {

// Warns of classes with one image, of which HoldOut() takes none.
void WarnOfLoneImages(const ImageSource& source, const Warn& warn) {
  const std::vector<int64_t> counts = source.TrainingCounts();
  const auto lone = std::count(counts.begin(), counts.end(), 1);
  if (lone == 0 || !warn) return;
  const size_t first = std::find(counts.begin(), counts.end(), 1) - counts.begin();
  const bool all = std::none_of(counts.begin(), counts.end(), [](int64_t n) { return n > 1; });
  warn(absl::StrCat(lone, lone == 1 ? " class has" : " classes have",
                    " one image, of which none is held out, the first ", source.class_names[first],
                    all ? ": there is no split test" : ""));
}

// Converts the images `listed`. `name`: the name of the data set.
absl::Status Convert(const ConvertOptions& options, const FolderOptions& folder,
                     const std::string& name, ImageSource listed) {
  const auto divided = [&] {
    ImageSource source = listed;
    if (source.splits.size() == 1) HoldOut(folder.val_fraction, &source);
    return source;
  };
  if (listed.splits.size() == 1 && folder.val_fraction > 0) WarnOfLoneImages(listed, options.warn);
  DatasetBuilder::Options build = BuilderOptions(options);
  build.name = name;
  ImageConverter first(options, folder, build);
  FT_RETURN_IF_ERROR(first.Run(divided()));
  if (first.bad().empty()) return absl::OkStatus();

  std::set<std::string> paths;
  for (const ImageConverter::Bad& bad : first.bad()) {
    build.skipped.push_back(bad.reason);
    paths.insert(bad.path);
  }
  const std::string list = absl::StrJoin(build.skipped, "\n");
  const std::string count = absl::StrCat(build.skipped.size(), " of ", listed.size(), " images");
  if (!folder.skip_bad) {
    return absl::DataLossError(absl::StrCat(list, "\n", count,
                                            " cannot be read: repair or remove them, or leave "
                                            "them out with --on_bad=skip"));
  }
  FT_RETURN_IF_ERROR(RemoveImages(paths, &listed));
  if (options.warn) {
    options.warn(absl::StrCat("left out ", count, " that cannot be read:\n", list));
  }
  // The images are divided into splits again without the bad ones, so that the data set is the same
  // as if the bad images did not exist.
  ImageConverter second(options, folder, std::move(build));
  FT_RETURN_IF_ERROR(second.Run(divided()));
  if (second.bad().empty()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(second.bad().front().reason, "; it was whole a moment ago. Run this again"));
}

}  // namespace

absl::Status ConvertImageFolder(const ConvertOptions& options, const FolderOptions& folder) {
  FT_RETURN_IF_ERROR(DatasetBuilder::CheckFolder(options.output, options.force));
  const fs::path root = fs::absolute(options.input).lexically_normal();
  const std::string name = (root.has_filename() ? root : root.parent_path()).filename().string();
  if (!IsArchiveLayout(options.input)) {
    FT_ASSIGN_OR_RETURN(ImageSource listed, ListFolderLayout(options.input, options.warn));
    return Convert(options, folder, name, std::move(listed));
  }
  FT_ASSIGN_OR_RETURN(const TemporaryFolder unpacked,
                      TemporaryFolder::CreateBeside(options.output));
  const auto progress = [&](int64_t done) {
    return !options.progress || options.progress("unpacked", done, 0);
  };
  FT_ASSIGN_OR_RETURN(ImageSource listed,
                      ListArchiveLayout(options.input, unpacked.path(), progress, options.warn));
  // The name is that of the archive up to the first dot: "photos" for photos.tar.gz.
  return Convert(options, folder, name.substr(0, name.find('.')), std::move(listed));
}

absl::Status ConvertImageList(const ConvertOptions& options, const ListOptions& list,
                              const FolderOptions& folder) {
  FT_RETURN_IF_ERROR(DatasetBuilder::CheckFolder(options.output, options.force));
  FT_ASSIGN_OR_RETURN(
      ImageSource listed,
      ListFileLayout({options.input, list.val, list.root, list.classes}, options.warn));
  return Convert(options, folder, fs::path(options.input).stem().string(), std::move(listed));
}

}  // namespace finetune
