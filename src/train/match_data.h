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

// The training data say which output of the model is which class, and by which mean and std a
// `normalize {}` works. data.val follows: its labels are mapped by class name, and its pictures are
// normalised as in training, whatever its own statistics are. For evaluation the checkpoint takes
// the training data's place.

// A checkpoint that is to be evaluated, whose tensors somebody else reads.
struct EvaluatedCheckpoint {
  std::string path;
  DataIdentity data;  // as the checkpoint tells it
};

// A run's data and what they mean to the model.
struct OpenedData {
  absl::StatusOr<std::unique_ptr<Dataset>> train = nullptr;  // null for evaluation
  absl::StatusOr<std::unique_ptr<Dataset>> val = nullptr;    // null where the config has none
  // Of the model; `classes` is empty where no data could be opened.
  DataIdentity identity;
  // Where identity.classes are from: "the data in data/pets".
  std::string classes_from;
};

// `evaluated`: null for training. `notes` gets what the log should say.
OpenedData OpenData(const DataConfig& config, const EvaluatedCheckpoint* evaluated,
                    std::vector<std::string>* notes);

// Maps the labels of data->val to the model's classes of the same names. `path`: of data.val.
// Errors: InvalidArgument with the names that differ.
absl::Status MapLabels(OpenedData* data, const std::string& path, bool for_training,
                       std::vector<std::string>* notes);

// What `evaluated` was trained to see, for a `normalize {}` in data.val; absent where nobody says.
// A checkpoint that does not say it was likely trained on the config's data.train, which is asked
// where it is at hand.
std::optional<PixelStatistics> StatisticsFor(const EvaluatedCheckpoint& evaluated,
                                             const DataConfig& data,
                                             std::vector<std::string>* notes);

// How data.val is normalised, where that is not what the config and its data alone would say.
struct StatisticsReport {
  std::string note, warning;  // empty: nothing to say
};
// `trained`: what the model was trained to see; absent: not known. `from`: who says so.
StatisticsReport CompareStatistics(const SplitConfig& val_config,
                                   const std::optional<PixelStatistics>& trained,
                                   const std::string& from, const BatchLoader& val);

// Equal on two ranks just when they took the same from their checkpoint.
std::string DigestOf(const DataIdentity& identity,
                     const std::optional<PixelStatistics>& statistics);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_MATCH_DATA_H_
