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
  int prefetch = 2;  // how many batches are prepared ahead
  uint64_t seed = 0;
  // Whether prepared images are bfloat16 instead of float32.
  bool bfloat16 = false;
  // Whether batches are in pinned memory, from which a GPU can copy while the CPU goes on.
  bool pinned = false;
};

// Reads and prepares the images of a list that one rank predicts, on threads of its own and some
// batches ahead of their use. The list is cut into batches of batch_size images. Rank r takes the
// batches r, r + world_size, r + 2 * world_size and so on. So the images of a batch do not depend
// on the number of ranks.
//
// Method: a ring of slots holds prefetch + 1 batches. Each thread takes the next image in the
// list's order, reads it, and prepares it in its batch's slot. So several threads work on one
// batch, and an archive is read only once, from beginning to end.
class ImageBatches {
 public:
  struct Batch {
    int64_t first = 0;  // the index in the list of the batch's first image
    // The prepared images [n, C, H, W], channels-last in memory. An image with an error is all
    // zeros.
    at::Tensor images;
    std::vector<std::string> errors;  // [n]: the error of each image, empty if there is none
  };

  // Starts the threads. `list` and `pipeline` must outlive this object.
  ImageBatches(const ImageList* list, const ImagePipeline* pipeline,
               const ImageBatchOptions& options);
  ImageBatches(const ImageBatches&) = delete;
  ImageBatches& operator=(const ImageBatches&) = delete;
  // Waits for the images that are just being prepared, and stops the threads.
  ~ImageBatches();

  // Returns the number of batches of this rank.
  int64_t size() const { return batches_; }
  // Waits for this rank's next batch and returns it. It is valid until the next call. Call Next()
  // at most size() times.
  const Batch& Next();

 private:
  struct Slot {
    at::Tensor images;  // [batch_size, C, H, W]
    Batch batch;
    int64_t left = 0;  // the number of images that are not prepared yet
  };

  // Returns the index in the list of the first image of batch number `batch` of this rank.
  int64_t FirstOf(int64_t batch) const {
    return (batch * options_.world_size + options_.rank) * options_.batch_size;
  }
  // Returns the number of images in batch number `batch` of this rank.
  int64_t SizeOf(int64_t batch) const;
  void Work();
  // Prepares image `index` of the list. `file`: its encoded bytes. `row`: where the prepared image
  // goes.
  absl::Status Prepare(int64_t index, absl::string_view file, ImagePipeline::Desk* desk,
                       uint8_t* row) const;

  const ImageList& list_;
  const ImagePipeline& pipeline_;
  const ImageBatchOptions options_;
  int64_t batches_ = 0;

  // Held while a thread takes the next image and, if it is in an archive, reads it. If both mutexes
  // are locked, this one is locked first.
  std::mutex source_;
  InputReader reader_;
  // The next image that a thread will take: image taken_row_ of this rank's batch taken_batch_.
  int64_t taken_batch_ = 0, taken_row_ = 0;

  std::mutex mutex_;
  std::condition_variable free_, ready_;
  std::vector<Slot> slots_;
  int64_t next_ = 0;  // the batch that the next Next() returns
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace finetune

#endif  // FINETUNE_PREDICT_IMAGE_BATCHES_H_
