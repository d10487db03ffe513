#ifndef FINETUNE_DATA_TOOLS_IMAGE_SOURCE_H_
#define FINETUNE_DATA_TOOLS_IMAGE_SOURCE_H_

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"

namespace finetune {

// An image for a data set.
struct SourceImage {
  // The path of the image's file.
  std::string path;
  int label = 0;
  // The name to show to people if it is not `path`: an image's name in an archive. Empty: `path`.
  std::string alias;

  const std::string& name() const { return alias.empty() ? path : alias; }
};

struct SourceSplit {
  std::string name;
  std::vector<SourceImage> images;
};

// The images of a folder, a list or an archive, in an order that does not depend on the file
// system.
struct ImageSource {
  std::vector<std::string> class_names;
  // The splits, the training split first. If there is only one, HoldOut() is to divide it.
  std::vector<SourceSplit> splits;

  int64_t size() const;
};

using Warn = std::function<void(const std::string& warning)>;

// The ending of an image's name of a kind that is not read and that other programs read, in small
// letters; else empty.
std::string OtherImageEnding(absl::string_view name);

// Lists the images of ROOT/train/CLASS/* with ROOT/val, ROOT/test or both, or of ROOT/CLASS/*:
// see ConvertImageFolder(). Warns of everything that is left out. Errors name the folder.
absl::StatusOr<ImageSource> ListFolderLayout(const std::string& root, const Warn& warn);

// An image and its label: a class name, or a class number from 0 if all labels are numbers.
// `where`: the file and line, for errors.
struct LabelledFile {
  std::string where, path, label;
};
// Pairs of a split's name and its images, the training split first.
using LabelledSplits = std::vector<std::pair<std::string, std::vector<LabelledFile>>>;

// Replaces the labels by class numbers. `classes`: a file with the classes' names, one a line;
// empty: the labels are the names. Errors: InvalidArgument for a label that is not a class.
absl::StatusOr<ImageSource> NumberLabels(const LabelledSplits& splits, const std::string& classes);

// Files that list images. Either as mmpretrain's ann_file: each line has a path and a label,
// which is a class name, or a class number from 0 if all labels are numbers. Or, if the name ends
// in .csv, a table whose first line names its columns: path, label and, for several splits, split.
struct ListFiles {
  std::string train;
  std::string val;      // empty: no validation list
  std::string root;     // the folder of relative paths; empty: that of `train`
  std::string classes;  // a file of names, one a line; empty: the labels
};

// Returns the images that the files list. Errors: InvalidArgument with file, line and what was
// expected.
absl::StatusOr<ImageSource> ListFileLayout(const ListFiles& files, const Warn& warn);

// Returns whether ListArchiveLayout() is to read `input`: any file, or a folder with only .tar
// files.
bool IsArchiveLayout(const std::string& input);

// Unpacks an archive (.tar, .tar.gz, .zip and others that libarchive reads) into `folder` and lists
// its images as ListFolderLayout() does. The root is the archive's top folder, or the only folder
// in it. If there are .cls files beside the images (WebDataset: 1.jpg and 1.cls), these give the
// labels. `input` may then also be a folder of archives: those whose names begin with "val" or
// "test" are of that split, all others are of split "train". Errors: those of UnpackFiles and
// ListFolderLayout, which name the archive.
absl::StatusOr<ImageSource> ListArchiveLayout(const std::string& input, const std::string& folder,
                                              const std::function<bool(int64_t done)>& progress,
                                              const Warn& warn);

// Moves `fraction` of each class of the only split, at least one image, to a new split "test".
// The moved images are spread evenly over the class. A class of one image stays whole.
void HoldOut(double fraction, ImageSource* source);

// Removes the images with these paths. Errors: InvalidArgument where a class of a split would
// lose all its images.
absl::Status RemoveImages(const std::set<std::string>& paths, ImageSource* source);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_IMAGE_SOURCE_H_
