#ifndef FINETUNE_TRAIN_DATA_IDENTITY_H_
#define FINETUNE_TRAIN_DATA_IDENTITY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/checkpoint/value.h"
#include "src/data/classes.h"
#include "src/data/dataset.h"
#include "src/data/pipeline.h"

namespace finetune {

// The facts of one split of a data set that two runs must agree on.
struct SplitIdentity {
  std::string split;  // the split's name: "train"
  std::string digest;
  int64_t images = 0;
  // The shape of a stored image. Height and width are 0 where the images differ in size.
  int64_t channels = 0, height = 0, width = 0;
  // `encoded`: whether images are stored as encoded files, not as pixels. `ignores_orientation`:
  // whether images were not turned as their EXIF orientation says. Unset: the checkpoint was
  // written by a version that did not record this.
  std::optional<bool> encoded = std::nullopt, ignores_orientation = std::nullopt;
};

// The identity of the data that a model was trained on. A checkpoint carries it in `meta`, because
// weights alone do not tell which output stands for which class, or how images were normalized.
struct DataIdentity {
  // The class of each output of the model, in order. Empty: unknown.
  ClassNames classes;
  // The mean and std of the training pipeline; empty lists where it does not normalize. Unset:
  // unknown.
  std::optional<PixelStatistics> statistics;
  std::optional<SplitIdentity> train, val;
};

SplitIdentity IdentityOf(const Dataset& dataset);

// Returns "mean [123.7, 116.3, 103.5] and std [58.4, 57.1, 57.4]", or "nothing" for empty lists.
std::string Describe(const PixelStatistics& statistics);

// Adds two entries to a checkpoint's meta: `CLASSES`, the list of class names that mmpretrain also
// writes, and `data`, a dict of `mean`, `std`, `train` and `val`.
void AppendTo(const DataIdentity& identity, Value::Dict* meta);

// Reads a checkpoint's meta, written by this program or another. Class names are read from
// mmpretrain's entries `CLASSES` or `dataset_meta.classes`. A missing entry stays unknown. Errors:
// InvalidArgument where this program's `CLASSES` or `data` is not as AppendTo() writes it, or a
// size is beyond the limits of a data set; those of CheckCheckpointVersion().
absl::StatusOr<DataIdentity> ReadDataIdentity(const Value& meta);

// Reads the data identity from the meta of the checkpoint at `path`, which may be a safetensors
// file of `finetune export` too. In a file without meta everything is unknown. Errors: those of
// ReadTorchFile(); those of ReadDataIdentity(), with the path.
absl::StatusOr<DataIdentity> ReadDataIdentityOf(const std::string& path);

// The differences between this run's data and those of the checkpoint that it resumes from.
struct DataDifference {
  // One sentence for each difference. Empty: no difference, as far as the checkpoint tells.
  std::vector<std::string> sentences;
  // A class that is in both data sets has a different number now, so the same output of the model
  // would mean another class.
  bool renumbered = false;
  // The validation data differ, so the accuracies so far do not compare with those to come.
  bool val_differs = false;
};
DataDifference CompareData(const DataIdentity& saved, const DataIdentity& now);

// Checks that a run whose data have `classes` may start with the head of a checkpoint. A checkpoint
// that names no classes, such as those of torchvision and timm, is accepted, and the returned note
// for the log says which class each output is taken for. Where the checkpoint names its classes the
// note is empty. Errors: InvalidArgument where the classes or their order differ.
absl::StatusOr<std::string> CheckHeadClasses(const DataIdentity& saved, const ClassNames& classes);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_DATA_IDENTITY_H_
