#include "src/predict/image_batches.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "src/base/bfloat16.h"
#include "src/base/ceil_divide.h"

namespace finetune {

ImageBatches::ImageBatches(const ImageList* list, const ImagePipeline* pipeline,
                           const ImageBatchOptions& options)
    : list_(*list),
      pipeline_(*pipeline),
      options_(options),
      reader_(list),
      slots_(static_cast<size_t>(options.prefetch) + 1) {
  const auto images = static_cast<int64_t>(list_.images.size());
  const int64_t all = CeilDivide(images, options_.batch_size);
  batches_ = CeilDivide(std::max<int64_t>(0, all - options_.rank), options_.world_size);
  const int64_t largest = std::min(options_.batch_size, images);
  for (Slot& slot : slots_) {
    slot.images = at::empty({largest, pipeline_.channels(), pipeline_.height(), pipeline_.width()},
                            at::TensorOptions()
                                .dtype(options_.bfloat16 ? at::kBFloat16 : at::kFloat)
                                .pinned_memory(options_.pinned),
                            at::MemoryFormat::ChannelsLast);
  }
  for (int i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { Work(); });
}

ImageBatches::~ImageBatches() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  free_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

int64_t ImageBatches::SizeOf(int64_t batch) const {
  return std::min(options_.batch_size, static_cast<int64_t>(list_.images.size()) - FirstOf(batch));
}

const ImageBatches::Batch& ImageBatches::Next() {
  std::unique_lock lock(mutex_);
  const int64_t batch = next_++;
  // next_ has advanced, so the slot of the previous batch may be filled again.
  free_.notify_all();
  const Slot& slot = slots_[static_cast<size_t>(batch) % slots_.size()];
  ready_.wait(lock, [&] {
    return slot.batch.first == FirstOf(batch) && slot.left == 0 && slot.batch.images.defined();
  });
  return slot.batch;
}

void ImageBatches::Work() {
  ImagePipeline::Desk desk(pipeline_.orientation());
  while (true) {
    std::unique_lock source(source_);
    if (taken_batch_ == batches_) return;
    const int64_t batch = taken_batch_, row = taken_row_;
    Slot& slot = slots_[static_cast<size_t>(batch) % slots_.size()];
    {
      std::unique_lock lock(mutex_);
      // The caller of Next() still uses batch next_ - 1. So the batches up to next_ - 2 +
      // slots_.size() have a free slot.
      free_.wait(lock, [&] {
        return stop_ ||
               batch < std::max<int64_t>(next_ - 1, 0) + static_cast<int64_t>(slots_.size());
      });
      if (stop_) return;
      if (row == 0) {
        const int64_t n = SizeOf(batch);
        slot.batch.first = FirstOf(batch);
        slot.batch.images = slot.images.narrow(0, 0, n);
        slot.batch.errors.assign(static_cast<size_t>(n), "");
        slot.left = n;
      }
    }
    if (++taken_row_ == SizeOf(batch)) {
      ++taken_batch_;
      taken_row_ = 0;
    }
    const int64_t index = FirstOf(batch) + row;
    const ImageInput& input = list_.images[static_cast<size_t>(index)];
    absl::StatusOr<std::string> file = absl::DataLossError(input.error);
    if (input.archive >= 0 && input.error.empty()) file = reader_.ReadFromArchive(input);
    source.unlock();
    if (input.archive < 0) file = ReadImageFile(input.path);

    const size_t bytes = static_cast<size_t>(slot.images.stride(0)) *
                         static_cast<size_t>(slot.images.element_size());
    auto* image =
        static_cast<uint8_t*>(slot.images.mutable_data_ptr()) + static_cast<size_t>(row) * bytes;
    const absl::Status status = file.ok() ? Prepare(index, *file, &desk, image) : file.status();
    if (!status.ok()) {
      std::memset(image, 0, bytes);
      slot.batch.errors[static_cast<size_t>(row)] = std::string(status.message());
    }
    const std::lock_guard lock(mutex_);
    if (--slot.left == 0) ready_.notify_one();
  }
}

absl::Status ImageBatches::Prepare(int64_t index, absl::string_view file, ImagePipeline::Desk* desk,
                                   uint8_t* row) const {
  if (options_.bfloat16) {
    return pipeline_.Prepare(options_.seed, index, file, desk, reinterpret_cast<Bfloat16*>(row));
  }
  return pipeline_.Prepare(options_.seed, index, file, desk, reinterpret_cast<float*>(row));
}

}  // namespace finetune
