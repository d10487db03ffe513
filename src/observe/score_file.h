#ifndef FINETUNE_OBSERVE_SCORE_FILE_H_
#define FINETUNE_OBSERVE_SCORE_FILE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "src/base/atomic_file.h"
#include "src/base/status_macros.h"
#include "src/metrics/prediction.h"

namespace finetune {

// Writes a file with a model's scores for each image. The file appears complete or not at all. The
// extension of its name determines the format:
//   .csv  a line "index,label,guess,NAME,..." with the names of the classes, then a line per image
//   .npy  NumPy's format, an array of records: index int64, label int32, guess int32, and scores
//         float32 [classes]. numpy.load(path)["scores"] is [images, classes].
class ScoreFile {
 public:
  // Checks that the name `path` ends in .csv or .npy. Errors: InvalidArgument if it does not.
  static absl::Status CheckName(const std::string& path);

  // Begins the file. `images`: the number of images, that is, of calls of Add() that will follow.
  // Errors: those of CheckName() and AtomicFile.
  static absl::StatusOr<ScoreFile> Create(const std::string& path,
                                          const std::vector<std::string>& class_names,
                                          int64_t images);

  // Appends an image. `index`: the image's index in its split. `scores`: one score for each class.
  // Errors: those of AtomicFile.
  absl::Status Add(int64_t index, const Prediction& prediction, absl::Span<const float> scores);

  // Completes the file. Only then it appears at its path. Errors: those of AtomicFile.
  absl::Status Commit();

 private:
  ScoreFile(AtomicFile file, bool csv) : file_(std::move(file)), csv_(csv) {}
  absl::Status Flush();

  AtomicFile file_;
  bool csv_;
  std::string buffer_;
};

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_SCORE_FILE_H_
