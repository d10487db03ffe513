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

// A model's scores for each image, in a file that appears whole or not at all. The end of its name
// says in which format:
//   .csv  a line "index,label,guess,NAME,..." with the names of the classes, then a line an image
//   .npy  NumPy's format, an array of records: index and label and guess, int64, int32 and int32,
//         and scores, float32 [classes]. numpy.load(path)["scores"] is [images, classes].
class ScoreFile {
 public:
  // Errors: InvalidArgument for a name that ends otherwise.
  static absl::Status CheckName(const std::string& path);

  // `images`: how many will be added. Errors: those of CheckName() and AtomicFile.
  static absl::StatusOr<ScoreFile> Create(const std::string& path,
                                          const std::vector<std::string>& class_names,
                                          int64_t images);

  // Appends an image. `scores`: [classes]. Errors: those of AtomicFile.
  absl::Status Add(int64_t index, const Prediction& prediction, absl::Span<const float> scores);

  // Puts the file in its place. Errors: those of AtomicFile.
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
