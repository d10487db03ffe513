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

// An image that is to be read.
struct ImageInput {
  // Its file, or in an archive ARCHIVE/NAME.
  std::string path;
  // The archive's index in ImageList; -1: it is a file of its own.
  int64_t archive = -1;
  // Which of the archive's images it is, from 0.
  int64_t entry = 0;
  // Why there is nothing to read: here the archive is damaged. Empty: none.
  std::string error;
};

struct ImageList {
  std::vector<std::string> archives;
  // An archive's images stand together, in its order.
  std::vector<ImageInput> images;
};

// Returns the images that `paths` stand for, in their order:
//   a file    itself, whatever its name
//   an archive  (by its content) its files whose names end as an image's, in the archive's order
//   a folder  all files below it whose names end as an image's, sorted by path; where there is
//             none, its .tar files
// Names that begin with a dot are left out, and links to folders are not followed. An archive that
// is damaged ends in an image with an error. Errors: NotFound for a path that does not exist, and
// for a folder or a whole archive without an image.
absl::StatusOr<ImageList> ListImages(const std::vector<std::string>& paths);

// Appends a list's files: one path a line, or where there is a NUL (find -print0) one between two
// of these. Empty lines are left out; so is the CR of a line that ends in CR LF. Nothing is opened:
// a path that cannot be read becomes a row with an error.
void AppendList(absl::string_view text, ImageList* list);

// A list as bytes, for the other ranks. Deserialize() takes what Serialize() made.
std::string Serialize(const ImageList& list);
ImageList Deserialize(absl::string_view bytes);

// Reads the images of a list. The images of an archive must be asked for in their order; some
// may be passed over. From one thread at a time.
class InputReader {
 public:
  // `list` must outlive it.
  explicit InputReader(const ImageList* list) : list_(*list) {}

  // Returns the bytes of an image in an archive. Errors: those of ArchiveReader; DataLoss where
  // the archive is not what it was when it was listed.
  absl::StatusOr<std::string> ReadFromArchive(const ImageInput& image);

 private:
  const ImageList& list_;
  int64_t archive_ = -1;  // that is open
  std::unique_ptr<ArchiveReader> reader_;
  int64_t next_ = 0;     // the number of the archive's next image
  absl::Status broken_;  // nothing more can be read of the archive
};

// Returns the bytes of an image that is a file. From any number of threads. Errors: those of
// ReadFile(); DataLoss for a pipe or a device.
absl::StatusOr<std::string> ReadImageFile(const std::string& path);

}  // namespace finetune

#endif  // FINETUNE_PREDICT_INPUTS_H_
