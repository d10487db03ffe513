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
  // Training shuffles (unless the config says otherwise) and goes from one epoch into the next;
  // evaluation ends.
  bool training = true;
  // For a normalize {} that has no mean and std of its own; absent: the data set's.
  std::optional<PixelStatistics> statistics = std::nullopt;
  // The type of prepared images: bfloat16, else float32.
  bool bfloat16 = false;
  // Batches are of images as they are stored, for PipelineOn(); else they are prepared. Encoded
  // images always are, and all where a step of the pipeline has no device side.
  bool stored = false;
  // See DataConfig::on_corrupt.
  DataConfig::OnCorrupt on_corrupt = DataConfig::FAIL;
  // See DataConfig::exact_decoding.
  bool exact_decoding = false;
  // Where the threads' work is recorded, which must outlive the loader. Null: nowhere.
  Trace* trace = nullptr;
  // Batches lie in memory that a GPU copies from by itself.
  bool pinned = false;
};

// Prepares one rank's batches on threads of its own, ahead of their use: the pipeline, and in
// training the batch transform. A batch's content depends on the config, the seed, the epoch and
// the iteration, never on ranks' speed, threads or restarts. Encoded images are decoded by the
// same threads; each keeps one decoder and its memory.
class BatchLoader {
 public:
  // Compiles the pipeline and the batch transform of `split`, whose data are `dataset`. Errors:
  // those of Pipeline::Create; InvalidArgument for settings of the batch transform.
  static absl::StatusOr<std::unique_ptr<BatchLoader>> Create(std::unique_ptr<Dataset> dataset,
                                                             const SplitConfig& split,
                                                             const LoaderOptions& options);
  ~BatchLoader();

  const Sampler& sampler() const;
  const DatasetManifest& manifest() const;
  // Returns the number of the split's images of each class.
  std::vector<int64_t> class_counts() const;
  const Pipeline& pipeline() const;
  // Whether batches are of images as they are stored; see LoaderOptions.
  bool stored() const;
  // Returns the pipeline that prepares this loader's images on `device`, which the loader must
  // outlive; nothing where they are prepared already.
  std::optional<DevicePipeline> PipelineOn(at::Device device) const;

  // The next batch will be this one; batches prepared for elsewhere are dropped.
  void Seek(int64_t epoch, int64_t iteration);

  // The next batch. Its tensors are the loader's own and are overwritten after the next call.
  // Training goes on with the next epoch; evaluation returns OutOfRange after its last batch.
  // Errors: those of reading a shard and of decoding, DataLoss with the shard, the image's index
  // and the cause. With SKIP, only where more than kMostSkipped images in a row are damaged.
  absl::StatusOr<Batch> Next();
  static constexpr int64_t kMostSkipped = 1000;

  // Returns a sentence for each damaged image that was skipped since the last call; an image is
  // named once. From any thread.
  std::vector<std::string> TakeSkipped();

 private:
  class Impl;
  explicit BatchLoader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_LOADER_H_
