#ifndef FINETUNE_DATA_LOADER_H_
#define FINETUNE_DATA_LOADER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/data/batch.h"
#include "src/data/dataset.h"
#include "src/data/device_pipeline.h"
#include "src/data/pipeline.h"
#include "src/data/sampler.h"
#include "src/observe/trace.h"

namespace finetune {

struct LoaderOptions {
  int rank = 0;
  int world_size = 1;
  uint64_t seed = 0;
  // Whether the batches are for training. Then images are shuffled (unless the config sets
  // `shuffle`), the batch transform is applied, and Next() goes on with the next epoch after the
  // last batch of an epoch. For evaluation Next() ends after one epoch.
  bool training = true;
  // The mean and std for a normalize {} step that has none of its own. If absent, those of the data
  // set are used.
  std::optional<PixelStatistics> statistics = std::nullopt;
  // Whether prepared images are bfloat16 instead of float32.
  bool bfloat16 = false;
  // Whether Next() shall return images as they are stored, which the pipeline of PipelineOn() then
  // prepares on the GPU. Images are prepared by the loader all the same if they are encoded, or if
  // a step of the pipeline cannot run on a GPU; see BatchLoader::stored().
  bool stored = false;
  // The treatment of damaged images; see DataConfig::on_corrupt.
  DataConfig::OnCorrupt on_corrupt = DataConfig::FAIL;
  // Whether JPEGs are always decoded at full scale; see DataConfig::exact_decoding.
  bool exact_decoding = false;
  // Records the work of the loader's threads; must outlive the loader. Null: nothing is recorded.
  Trace* trace = nullptr;
  // Whether batches are in pinned memory, from which a GPU can copy while the CPU goes on.
  bool pinned = false;
};

// Reads and prepares the batches of one rank on threads of its own, some batches ahead of their
// use. A thread reads an image, decodes it if it is encoded, and applies the pipeline; for training
// it then applies the batch transform to the batch. A batch's content depends only on the data, the
// config, the seed, the epoch and the iteration. It does not depend on the speed of ranks, the
// number of threads or restarts.
class BatchLoader {
 public:
  // Creates the pipeline and the batch transform that `split` describes, and starts the threads.
  // `dataset`: the images of this split. Errors: those of Pipeline::Create(); InvalidArgument for
  // wrong settings of the batch transform.
  static absl::StatusOr<std::unique_ptr<BatchLoader>> Create(std::unique_ptr<Dataset> dataset,
                                                             const SplitConfig& split,
                                                             const LoaderOptions& options);
  ~BatchLoader();

  const Sampler& sampler() const;
  const DatasetManifest& manifest() const;
  // Returns how many images of the split each class has, by label.
  std::vector<int64_t> class_counts() const;
  const Pipeline& pipeline() const;
  // Returns whether Next() returns images as they are stored; see LoaderOptions::stored.
  bool stored() const;
  // Returns the pipeline that prepares this loader's batches on `device`, or nullopt if stored() is
  // false. The loader must outlive the pipeline.
  std::optional<DevicePipeline> PipelineOn(at::Device device) const;

  // Makes Next() continue with this iteration of this epoch. Batches that were prepared ahead are
  // dropped.
  void Seek(int64_t epoch, int64_t iteration);

  // Waits for the next batch and returns it. Its tensors share the loader's memory, which is
  // overwritten after the next call of Next(). After the last batch of an epoch, training goes on
  // with the next epoch and evaluation returns OutOfRange.
  //
  // With on_corrupt: SKIP, training takes the next undamaged image of the split in place of a
  // damaged one. Evaluation leaves a damaged image out, because its figures must count each image
  // once; the batch then has fewer images, or none. Errors: DataLoss with the shard, the image's
  // index and the cause if an image is damaged; with on_corrupt: SKIP only if more than
  // kMostSkipped images in a row are damaged, and in training also if all images are. Evaluation
  // counts images in a row only over batches that have no undamaged image.
  absl::StatusOr<Batch> Next();
  // With on_corrupt: SKIP, Next() fails at more than this many damaged images in a row.
  static constexpr int64_t kMostSkipped = 1000;

  // Returns a sentence for each damaged image that was skipped since the last call of
  // TakeSkipped(). An image that is skipped in several epochs is reported only the first time. May
  // be called on any thread.
  std::vector<std::string> TakeSkipped();

 private:
  class Impl;
  explicit BatchLoader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_LOADER_H_
