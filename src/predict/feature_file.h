#ifndef FINETUNE_PREDICT_FEATURE_FILE_H_
#define FINETUNE_PREDICT_FEATURE_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"

namespace finetune {

// What a file of features says about its rows.
struct FeatureRows {
  std::vector<std::string> paths;        // of each image
  std::vector<std::string> class_names;  // in the order of the model's outputs
};

// A file of features, one row of float32 for each image, in the order of the images. It is written
// as the rows come, so memory does not grow with the number of images, and it appears whole or not
// at all. The ending of its name is its format:
//
//   .npy  the features alone: float32 [images, channels]
//   .h5, .hdf5  data sets of HDF5:
//     features     float32 [images, channels]
//     path         UTF-8 strings [images]
//     label        int64 [images]: the class whose name the image's folder has, as in
//                  photos/cat/1.jpg; -1 if there is none
//     class_names  UTF-8 strings [classes]
//   Strings have a fixed length and are padded with NULs. Chunks have Fletcher-32 checksums.
class FeatureFile {
 public:
  // Errors: InvalidArgument if the ending is another.
  static absl::Status CheckName(const std::string& path);
  // Errors: those of CheckName() and of AtomicFile::Create().
  static absl::StatusOr<std::unique_ptr<FeatureFile>> Create(const std::string& path);

  FeatureFile() = default;
  virtual ~FeatureFile() = default;
  FeatureFile(const FeatureFile&) = delete;
  FeatureFile& operator=(const FeatureFile&) = delete;

  // Writes everything that is known before the first row. Call it once. `channels`: the length of a
  // row. Errors: those of writing.
  virtual absl::Status Begin(const FeatureRows& rows, int64_t channels) = 0;
  // Appends rows: the bytes of float32 [n, channels], at most as many rows as there are paths.
  // Errors: those of writing.
  virtual absl::Status Append(absl::string_view rows) = 0;
  // Gives the file its name. Call it after all rows. Errors: those of writing.
  virtual absl::Status Commit() = 0;
};

// Returns the index in `class_names` of the name of the folder in which `path` lies; -1 if no class
// has that name.
int64_t LabelByFolder(absl::string_view path, const std::vector<std::string>& class_names);

}  // namespace finetune

#endif  // FINETUNE_PREDICT_FEATURE_FILE_H_
