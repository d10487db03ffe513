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
#include "src/train/data_identity.h"

namespace finetune {

// The training data define which output of the model is which class, and the mean and std of a
// `normalize {}`. data.val follows them: its labels are mapped by class name, and its images are
// normalized as in training, whatever its own statistics are. For evaluation the checkpoint takes
// the place of the training data.

// A checkpoint that is to be evaluated. Its tensors are read elsewhere.
struct EvaluatedCheckpoint {
  std::string path;
  DataIdentity data;  // from the checkpoint's meta
};

// A run's data and their meaning to the model.
struct OpenedData {
  absl::StatusOr<std::unique_ptr<Dataset>> train = nullptr;  // null for evaluation
  absl::StatusOr<std::unique_ptr<Dataset>> val = nullptr;    // null where the config has none
  // The model's data. `classes` is empty where no data could be opened.
  DataIdentity identity;
  // The origin of identity.classes: "the data in data/pets".
  std::string classes_from;
};

// Opens the data. `evaluated`: null for training. `notes` gets sentences for the log.
OpenedData OpenData(const DataConfig& config, const EvaluatedCheckpoint* evaluated,
                    std::vector<std::string>* notes);

// Maps the labels of data->val to the model's classes of the same names. `path`: data.val's.
// Errors: InvalidArgument with the names that differ.
absl::Status MapLabels(OpenedData* data, const std::string& path, bool for_training,
                       std::vector<std::string>* notes);

// Returns the statistics that `evaluated` was trained with, for a `normalize {}` in data.val;
// nothing where they are unknown. A checkpoint without them was likely trained on the config's
// data.train, so that data set is asked where it is at hand.
std::optional<PixelStatistics> StatisticsFor(const EvaluatedCheckpoint& evaluated,
                                             const DataConfig& data,
                                             std::vector<std::string>* notes);

// How data.val is normalized, where the config and its own data would give other statistics.
struct StatisticsReport {
  std::string note, warning;  // empty: nothing to report
};
// `trained`: the statistics that the model was trained with; unset: unknown. `from`: their origin.
StatisticsReport CompareStatistics(const SplitConfig& val_config,
                                   const std::optional<PixelStatistics>& trained,
                                   const std::string& from, const BatchLoader& val);

// Returns a digest that is equal on two ranks only where they read the same from their checkpoint.
std::string DigestOf(const DataIdentity& identity,
                     const std::optional<PixelStatistics>& statistics);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_MATCH_DATA_H_
