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

// An image that is to be put into a data set.
struct SourceImage {
  // The path of the image's file.
  std::string path;
  int label = 0;
  // How messages name the image, if not by `path`: "ARCHIVE: NAME" for an image that was unpacked
  // from an archive. Empty: by `path`.
  std::string alias;
  // The place of the image in a list, "LIST:LINE", for errors. Empty if it comes from no list.
  std::string listed;

  const std::string& name() const { return alias.empty() ? path : alias; }
};

struct SourceSplit {
  std::string name;
  std::vector<SourceImage> images;
};

// The images of a folder, a list or an archive. Their order does not depend on the file system.
struct ImageSource {
  std::vector<std::string> class_names;
  // The splits, the training split first. If there is only one, the caller must divide it by
  // HoldOut().
  std::vector<SourceSplit> splits;

  int64_t size() const;

  // Returns the number of the training split's images of each class, by label.
  std::vector<int64_t> TrainingCounts() const;
};

using Warn = std::function<void(const std::string& warning)>;

// If the name ends as that of an image format which ImageDecoder cannot read (such as .avif),
// returns the ending in lower case. Otherwise returns "".
std::string OtherImageEnding(absl::string_view name);

// Lists the images of a folder, either ROOT/train/CLASS/* together with ROOT/val, ROOT/test or
// both, or ROOT/CLASS/*. See ConvertImageFolder(). Warns of everything that is left out. Errors
// name the folder.
absl::StatusOr<ImageSource> ListFolderLayout(const std::string& root, const Warn& warn);

// An image and its label, which is a class name or, if all labels are numbers, a class number from
// 0. where: the file and line that list the image, for errors.
struct LabelledFile {
  std::string where, path, label;
};
// The name of each split and its images. The training split comes first.
using LabelledSplits = std::vector<std::pair<std::string, std::vector<LabelledFile>>>;

// Returns the images with class numbers instead of labels. `classes`: a file with a class name on
// each line, in the order of the numbers; empty: the labels themselves are the class names. Warns
// of classes without training images, of labels of which only some are numbers, and of images that
// are listed twice. Errors: InvalidArgument for a label that is not a class, for an image that is
// listed with two labels, and for a held-out image whose class has no training images.
absl::StatusOr<ImageSource> NumberLabels(const LabelledSplits& splits, const std::string& classes,
                                         const Warn& warn);

// Files that list images. If a file's name ends in .csv, it is a table whose first line names its
// columns: path, label and, if it lists several splits, split. Otherwise each line has a path and a
// label, as in mmpretrain's ann_file. A label is a class name or, if all labels are numbers, a
// class number from 0.
struct ListFiles {
  std::string train;
  std::string val;      // the list of held-out images; empty: none
  std::string root;     // relative paths start here; empty: in the folder of `train`
  std::string classes;  // see NumberLabels()
};

// Returns the images that the files list. Errors: InvalidArgument with file, line and what was
// expected.
absl::StatusOr<ImageSource> ListFileLayout(const ListFiles& files, const Warn& warn);

// Returns whether ListArchiveLayout() must read `input`, because it is a file or a folder that
// contains only .tar files.
bool IsArchiveLayout(const std::string& input);

// Unpacks an archive (.tar, .tar.gz, .zip and others that libarchive can read) into `folder` and
// lists its images as ListFolderLayout() does. A single top folder around the classes or splits is
// skipped. If there are .cls files beside the images (WebDataset: 1.jpg and 1.cls), these give the
// labels. `input` may then also be a folder of archives: those whose names begin with "val" or
// "test" are of that split, and all others are of split "train". `progress`: as in UnpackFiles().
// Errors: those of UnpackFiles() and ListFolderLayout(), with the archive's name.
absl::StatusOr<ImageSource> ListArchiveLayout(const std::string& input, const std::string& folder,
                                              const std::function<bool(int64_t done)>& progress,
                                              const Warn& warn);

// Moves the part `fraction` of each class of the only split, but at least one image, to a new split
// "test". The moved images are spread evenly over the class. A class of one image is not divided.
// With a fraction of 0 nothing is moved.
void HoldOut(double fraction, ImageSource* source);

// Removes the images with these paths. Errors: InvalidArgument if a class of a split would lose all
// its images.
absl::Status RemoveImages(const std::set<std::string>& paths, ImageSource* source);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_IMAGE_SOURCE_H_
