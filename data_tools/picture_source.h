#ifndef FINETUNE_DATA_TOOLS_PICTURE_SOURCE_H_
#define FINETUNE_DATA_TOOLS_PICTURE_SOURCE_H_

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"

namespace finetune {

// A picture that a data set is to be made of.
struct SourcePicture {
  // Of its file.
  std::string path;
  int label = 0;
  // What people know it by, where that is not its path: its name in an archive.
  std::string alias;

  const std::string& name() const { return alias.empty() ? path : alias; }
};

struct SourceSplit {
  std::string name;
  std::vector<SourcePicture> pictures;
};

// The pictures that a layout of files names, in an order that does not depend on the file system.
struct PictureSource {
  std::vector<std::string> class_names;
  // The training split first. One alone is yet to be divided.
  std::vector<SourceSplit> splits;

  int64_t size() const;
};

using Warn = std::function<void(const std::string& warning)>;

// The ending of a picture's name of a kind that is not read and that other programs read, in small
// letters; else empty.
std::string OtherPictureEnding(absl::string_view name);

// Lists ROOT/train/CLASS/* with ROOT/val, ROOT/test or both, or ROOT/CLASS/*; see
// ConvertImageFolder(). Warns of what it leaves out. Errors name the folder.
absl::StatusOr<PictureSource> ListFolderLayout(const std::string& root, const Warn& warn);

// A picture and the text that tells its class: a name, or a number from 0 where all of them are
// numbers. `where`: for errors.
struct LabelledFile {
  std::string where, path, label;
};
// By the splits' names, the training split first.
using LabelledSplits = std::vector<std::pair<std::string, std::vector<LabelledFile>>>;

// `classes`: a file with the classes' names, one a line; empty: the labels name them. Errors:
// InvalidArgument for a label that is not a class'.
absl::StatusOr<PictureSource> NumberLabels(const LabelledSplits& splits,
                                           const std::string& classes);

// Lists of pictures, as mmpretrain's ann_file: a line each with a path and a label, which is a
// class' name, or its number from 0 where all labels are numbers. Or, where the name ends in .csv,
// a table whose first line names its columns: path, label and, for several splits, split.
struct ListFiles {
  std::string train;
  std::string val;      // empty: none
  std::string root;     // what paths are relative to; empty: the folder of `train`
  std::string classes;  // names, one a line; empty: the labels themselves
};

// Errors: InvalidArgument with file, line and what was expected.
absl::StatusOr<PictureSource> ListFileLayout(const ListFiles& files, const Warn& warn);

// Whether ListArchiveLayout() reads it: an archive, or a folder with nothing but .tar files.
bool IsArchiveLayout(const std::string& input);

// Unpacks an archive (.tar, .tar.gz, .zip and others that libarchive reads) into `folder` and lists
// what is in it as ListFolderLayout() does, from its top folder or from that folder's only one. Or,
// where its pictures have .cls files beside them (WebDataset: 1.jpg and 1.cls), by these; a
// folder's archives then are of split train, val or test as their names begin, else of train.
// Errors: those of UnpackFiles and ListFolderLayout, which name the archive.
absl::StatusOr<PictureSource> ListArchiveLayout(const std::string& input, const std::string& folder,
                                                const std::function<bool(int64_t done)>& progress,
                                                const Warn& warn);

// Moves `fraction` of each class of the only split, at least one picture, to a new split "test",
// spread evenly over the class. A class of one picture stays whole.
void HoldOut(double fraction, PictureSource* source);

// Takes pictures out, by path. Errors: InvalidArgument where a class of a split keeps none.
absl::Status RemovePictures(const std::set<std::string>& paths, PictureSource* source);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_PICTURE_SOURCE_H_
