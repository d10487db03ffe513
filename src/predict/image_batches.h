#ifndef FINETUNE_PREDICT_IMAGE_BATCHES_H_
#define FINETUNE_PREDICT_IMAGE_BATCHES_H_

#include <ATen/core/Tensor.h>

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/predict/image_pipeline.h"
#include "src/predict/inputs.h"

namespace finetune {

struct ImageBatchOptions {
  int rank = 0;
  int world_size = 1;
  int64_t batch_size = 32;
  int threads = 1;
  int prefetch = 2;  // batches that are prepared ahead
  uint64_t seed = 0;
  // The type of prepared images: bfloat16, else float32.
  bool bfloat16 = false;
  // Batches lie in memory that a GPU copies from by itself.
  bool pinned = false;
};

// Reads and prepares one rank's images of a list on threads of its own, ahead of their use. The
// list is cut into batches; batch b is that of rank b mod world_size. So the images of a batch do
// not depend on the number of ranks.
//
// A ring of slots, one a batch on its way. Threads take images in the list's order, so that an
// archive is read once from its beginning to its end, and prepare the images of one batch
// together.
class ImageBatches {
 public:
  struct Batch {
    int64_t first = 0;  // index of its first image in the list
    // [n, C, H, W], channels-last, ready for the model. An image with an error is all zeros.
    at::Tensor images;
    std::vector<std::string> errors;  // [n]; empty: none
  };

  // `list` and `pipeline` must outlive it.
  ImageBatches(const ImageList* list, const ImagePipeline* pipeline,
               const ImageBatchOptions& options);
  ImageBatches(const ImageBatches&) = delete;
  ImageBatches& operator=(const ImageBatches&) = delete;
  // Waits for the images that are being prepared.
  ~ImageBatches();

  // The number of this rank's batches.
  int64_t size() const { return batches_; }
  // Returns the next batch, which stays until the next call. Called size() times at most.
  const Batch& Next();

 private:
  struct Slot {
    at::Tensor images;  // [batch_size, C, H, W]
    Batch batch;
    int64_t left = 0;  // images that are still to be prepared
  };

  int64_t FirstOf(int64_t batch) const {
    return (batch * options_.world_size + options_.rank) * options_.batch_size;
  }
  // The number of images in this rank's batch.
  int64_t SizeOf(int64_t batch) const;
  void Work();
  // Prepares image `index` from its file's bytes.
  absl::Status Prepare(int64_t index, absl::string_view file, ImagePipeline::Desk* desk,
                       uint8_t* row) const;

  const ImageList& list_;
  const ImagePipeline& pipeline_;
  const ImageBatchOptions options_;
  int64_t batches_ = 0;

  // Held while a thread takes an image and reads it from its archive. Locked before mutex_.
  std::mutex source_;
  InputReader reader_;
  // The next image to be taken: which of the images of which batch.
  int64_t taken_batch_ = 0, taken_row_ = 0;

  std::mutex mutex_;
  std::condition_variable free_, ready_;
  std::vector<Slot> slots_;
  int64_t next_ = 0;  // the next batch to be returned
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace finetune

#endif  // FINETUNE_PREDICT_IMAGE_BATCHES_H_
