#ifndef FINETUNE_TRAIN_MATCH_DATA_H_
#define FINETUNE_TRAIN_MATCH_DATA_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/data/dataset.h"
#include "src/data/loader.h"
#include "src/model/classifier.h"
#include "src/train/data_identity.h"

namespace finetune {

// The training data define which class each output of the model stands for, and the mean and std of
// a `normalize {}`. data.val follows the training data: its labels are mapped by class name, and
// its images are normalized as in training, whatever its own statistics are. For an evaluation the
// checkpoint takes the place of the training data.

// A checkpoint to evaluate: its path and the identity of its data. Its tensors are read by
// TakeWeights().
struct EvaluatedCheckpoint {
  std::string path;
  DataIdentity data;  // from the checkpoint's meta
};

// A run's data sets, and the meaning of the model's outputs and inputs.
struct OpenedData {
  absl::StatusOr<std::unique_ptr<Dataset>> train = nullptr;  // null for evaluation
  absl::StatusOr<std::unique_ptr<Dataset>> val = nullptr;    // null where the config has none
  // The data that the model is trained on. `classes` is empty where no data set could be opened.
  DataIdentity identity;
  // The origin of identity.classes: "the data in data/pets".
  std::string classes_from;
};

// Opens the config's data sets. `evaluated`: the checkpoint to evaluate; null for training. `notes`
// gets sentences for the log.
OpenedData OpenData(const DataConfig& config, const EvaluatedCheckpoint* evaluated,
                    std::vector<std::string>* notes);

// Maps the labels of data->val to the model's classes with the same names. `path`: data.val.path.
// Errors: InvalidArgument with the names that differ.
absl::Status MapLabels(OpenedData* data, const std::string& path, bool for_training,
                       std::vector<std::string>* notes);

// Returns the mean and std that `evaluated` was trained with, for a `normalize {}` in data.val;
// nothing where they are unknown. A checkpoint that does not carry them was likely trained on the
// config's data.train, so the statistics of that data set are used if it can be opened.
std::optional<PixelStatistics> StatisticsFor(const EvaluatedCheckpoint& evaluated,
                                             const DataConfig& data,
                                             std::vector<std::string>* notes);

// Sentences on how data.val is normalized, where the statistics in use differ from those of the
// config and of data.val.
struct StatisticsReport {
  std::string note, warning;  // empty: nothing to report
};
// `trained`: the statistics that the model was trained with; unset: unknown. `from`: their origin.
StatisticsReport CompareStatistics(const SplitConfig& val_config,
                                   const std::optional<PixelStatistics>& trained,
                                   const std::string& from, const BatchLoader& val);

// Compares `used`, the mean and std of data.train, with the ones with which the pretrained weights
// were trained. These are `own`, which the checkpoint at `path` holds, or if it holds none,
// model.usual_normalization(). Returns a warning if the normalized value of some pixel differs by
// more than 0.5, a note for a smaller difference, and neither if they differ only by rounding.
StatisticsReport ComparePretrained(const PixelStatistics& used, const std::string& path,
                                   const std::optional<PixelStatistics>& own,
                                   const Classifier& model);

// Returns a digest of a checkpoint's class names, mean and std. It is equal on two ranks only if
// both read the same.
std::string DigestOf(const DataIdentity& identity,
                     const std::optional<PixelStatistics>& statistics);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_MATCH_DATA_H_
