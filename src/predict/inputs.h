#ifndef FINETUNE_PREDICT_INPUTS_H_
#define FINETUNE_PREDICT_INPUTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/archive_reader.h"
#include "src/base/status_macros.h"

namespace finetune {

// An image for prediction, which is not read yet.
struct ImageInput {
  // The path of its file. For an image in an archive: ARCHIVE/NAME.
  std::string path;
  // The index of its archive in ImageList::archives. -1: it is a file of its own.
  int64_t archive = -1;
  // Its number among the images of the archive, from 0.
  int64_t entry = 0;
  // If not empty, the image cannot be read for this reason: the archive is damaged from here on.
  std::string error;
};

struct ImageList {
  std::vector<std::string> archives;
  // The images of an archive are next to each other, in the archive's order.
  std::vector<ImageInput> images;
};

// Returns the images that `paths` name, in the order of `paths`:
//   a file      the file itself, whatever its name
//   an archive  (recognized by its content) the files in it whose names end as an image's, in the
//               archive's order
//   a folder    all files below it whose names end as an image's, sorted by path; if there are
//               none, the images of all .tar files below it
// In folders and archives, files and folders whose names begin with a dot are left out, and links
// to folders are not followed. If an archive is damaged, the images before the damage are followed
// by one ImageInput with the error. Errors: NotFound for a path that does not exist, and for a
// folder or an undamaged archive without an image.
absl::StatusOr<ImageList> ListImages(const std::vector<std::string>& paths);

// Appends the paths in `text` to `list`, one path on each line. If the text contains a NUL, paths
// are separated by NULs instead (find -print0). Empty lines are skipped, and a CR at the end of a
// line is removed. No file is opened; whether a path can be read is found out later.
void AppendList(absl::string_view text, ImageList* list);

// Serialize() returns a list as bytes, to send it to other ranks. Deserialize() makes the list from
// them.
std::string Serialize(const ImageList& list);
ImageList Deserialize(absl::string_view bytes);

// Reads images of a list that are in archives. The images of an archive must be read in the list's
// order, but some may be left out. Use it on one thread at a time.
class InputReader {
 public:
  // `list` must outlive this object.
  explicit InputReader(const ImageList* list) : list_(*list) {}

  // Returns the bytes of an image whose `archive` is not -1. Errors: those of ArchiveReader;
  // DataLoss if the archive has changed since it was listed.
  absl::StatusOr<std::string> ReadFromArchive(const ImageInput& image);

 private:
  const ImageList& list_;
  int64_t archive_ = -1;  // the index of the archive that is open
  std::unique_ptr<ArchiveReader> reader_;
  int64_t next_ = 0;     // the number of the next image in this archive
  absl::Status broken_;  // an error after which this archive cannot be read further
};

// Returns the bytes of an image that is a file of its own. Several threads may call it at once.
// Errors: those of ReadFile(); DataLoss for a pipe or a device.
absl::StatusOr<std::string> ReadImageFile(const std::string& path);

}  // namespace finetune

#endif  // FINETUNE_PREDICT_INPUTS_H_
