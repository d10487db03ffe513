#include "src/data/loader.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/config/problems.h"
#include "src/config/total_batch_size.h"
#include "src/data/batch_transforms/all.h"
#include "src/data/decode/decode.h"
#include "src/data/pipeline.h"

namespace finetune {

// Method: batches are numbered through all epochs (the sequence number). A ring of slots holds
// prefetch + 1 batches; batch s uses slot s modulo the number of slots. Each worker thread takes
// the next sequence number and fills its slot. Next() waits until the slot of the next batch is
// filled, and thereby gives the slot of the previous batch back to the workers.
//
// Invariants: `mutex_` guards all fields from `slots_` to `end_`, except that only the worker that
// took a batch touches its slot until it sets Slot::ready. Seek() increases `generation_`; a worker
// whose batch was taken in an earlier generation does not set Slot::ready.
class BatchLoader::Impl {
 public:
  // `batch_transform`: null for none. `stream`: the number of the random stream that the batch
  // transform draws from.
  Impl(std::unique_ptr<Dataset> dataset, Pipeline pipeline,
       std::unique_ptr<const BatchTransform> batch_transform, uint32_t stream, Sampler sampler,
       LoaderOptions options, int workers, int prefetch)
      : dataset_(std::move(dataset)),
        pipeline_(std::move(pipeline)),
        batch_transform_(std::move(batch_transform)),
        stream_(stream),
        sampler_(sampler),
        options_(options),
        slots_(prefetch + 1) {
    // With a batch transform a part is extended to whole pairs: by at most one image at either end.
    const int64_t n = sampler_.LargestPart() + (batch_transform_ == nullptr ? 0 : 2);
    const at::TensorOptions numbers =
        at::TensorOptions().dtype(at::kLong).pinned_memory(options.pinned);
    const int64_t channels = options.stored ? manifest().channels() : pipeline_.channels();
    const int64_t height = options.stored ? manifest().height() : pipeline_.height();
    const int64_t width = options.stored ? manifest().width() : pipeline_.width();
    for (Slot& slot : slots_) {
      slot.images = at::empty({n, channels, height, width},
                              numbers.dtype(options.stored ? at::kByte : PreparedType()),
                              at::MemoryFormat::ChannelsLast);
      slot.labels = at::empty({n}, numbers);
      if (options.stored) slot.draws = at::empty({n, pipeline_.draws()}, numbers);
      if (batch_transform_ != nullptr) {
        slot.partner_labels = at::empty({n}, numbers);
        slot.mixing = at::empty({batch_transform_->draws()}, numbers.dtype(at::kFloat));
      }
    }
    for (int i = 0; i < workers; ++i) {
      TraceTrack* track =
          options.trace == nullptr
              ? nullptr
              : options.trace->AddTrack(
                    absl::StrCat(options.training ? "" : "validation ", "data loader ", i + 1),
                    "batch");
      workers_.emplace_back([this, track] { Work(track); });
    }
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    work_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  const Sampler& sampler() const { return sampler_; }
  const DatasetManifest& manifest() const { return dataset_->manifest(); }
  std::vector<int64_t> class_counts() const {
    std::vector<int64_t> counts(manifest().class_name_size());
    for (int64_t i = 0; i < dataset_->size(); ++i) ++counts[dataset_->LabelOf(i)];
    return counts;
  }
  const Pipeline& pipeline() const { return pipeline_; }
  bool stored() const { return options_.stored; }
  std::optional<DevicePipeline> PipelineOn(at::Device device) const {
    if (!options_.stored) return std::nullopt;
    return DevicePipeline(pipeline_, batch_transform_.get(), device, PreparedType());
  }

  std::vector<std::string> TakeSkipped() {
    const std::lock_guard lock(skipped_mutex_);
    return std::exchange(skipped_sentences_, {});
  }

  void Seek(int64_t epoch, int64_t iteration) {
    std::unique_lock lock(mutex_);
    started_ = true;
    // Wait until no worker is filling a slot.
    ++generation_;
    idle_.wait(lock, [&] { return busy_ == 0; });
    first_ = epoch * sampler_.iterations_per_epoch() + iteration;
    end_ = options_.training ? INT64_MAX : (epoch + 1) * sampler_.iterations_per_epoch();
    taken_ = next_ = first_;
    damaged_in_row_ = 0;
    for (Slot& slot : slots_) slot.ready = -1;
    lock.unlock();
    work_.notify_all();
  }

  absl::StatusOr<Batch> Next() {
    std::unique_lock lock(mutex_);
    if (!started_) {
      lock.unlock();
      Seek(0, 0);
      lock.lock();
    }
    if (next_ >= end_) return absl::OutOfRangeError("the evaluation's batches are all taken");
    const int64_t sequence = next_++;
    // next_ has advanced, so the slot of the previous batch may be filled again.
    work_.notify_all();
    Slot& slot = slots_[sequence % slots_.size()];
    ready_.wait(lock, [&] { return slot.ready == sequence; });
    FT_RETURN_IF_ERROR(slot.status);
    const int64_t n = static_cast<int64_t>(slot.indices.size());
    damaged_in_row_ = n > 0 ? 0 : damaged_in_row_ + slot.left_out;
    if (damaged_in_row_ > kMostSkipped) {
      return Annotate(slot.damage,
                      absl::StrCat("more than ", kMostSkipped, " images in a row are damaged"));
    }
    Batch batch;
    batch.labels = slot.labels.narrow(0, slot.first, n);
    if (options_.stored) {
      batch.images = slot.images.narrow(0, 0, slot.rows);
      batch.draws = slot.draws.narrow(0, 0, slot.rows);
      batch.first = slot.first;
    } else {
      batch.images = slot.images.narrow(0, slot.first, n);
    }
    if (batch_transform_ != nullptr) {
      batch.partner_labels = slot.partner_labels.narrow(0, slot.first, n);
      batch.mixing = slot.mixing;
    }
    batch.indices = slot.indices;
    batch.global_size = sampler_.GlobalSize(sequence % sampler_.iterations_per_epoch());
    return batch;
  }

 private:
  struct Slot {
    // A row for each image of this rank's part. With a batch transform also for the neighbours that
    // complete the pairs at its ends. The part begins at row `first`; `rows` is the number of rows
    // in use.
    at::Tensor images, draws, labels, partner_labels;
    at::Tensor mixing;  // see Batch::mixing
    int64_t rows = 0, first = 0;
    std::vector<int64_t> indices;
    absl::Status status;
    // The number of damaged images that an evaluation leaves out of this batch, and the error of
    // the last of them.
    int64_t left_out = 0;
    absl::Status damage;
    // The sequence number of the complete batch in this slot, or -1.
    int64_t ready = -1;
  };

  // A worker's memory for the image that it is preparing.
  struct Desk {
    std::vector<uint8_t> pixels;
    std::vector<int64_t> draws;
    Pipeline::Scratch scratch;
    // These three are used only for encoded images.
    ImageDecoder decoder;
    std::string bytes;
    DecodedImage image;
  };

  at::ScalarType PreparedType() const { return options_.bfloat16 ? at::kBFloat16 : at::kFloat; }

  void Work(TraceTrack* track) {
    Desk desk;
    if (!dataset_->encoded()) desk.pixels.resize(ImageBytes(manifest()));
    desk.draws.resize(pipeline_.draws());
    desk.decoder =
        ImageDecoder(manifest().ignores_orientation() ? Orientation::kIgnore : Orientation::kApply);
    std::unique_lock lock(mutex_);
    while (true) {
      // The caller of Next() still uses batch next_ - 1. So the batches up to next_ - 2 +
      // slots_.size() have a free slot.
      work_.wait(lock, [&] {
        return stop_ ||
               (started_ && taken_ < end_ &&
                taken_ < std::max(next_ - 1, first_) + static_cast<int64_t>(slots_.size()));
      });
      if (stop_) return;
      const int64_t sequence = taken_++;
      const int64_t generation = generation_;
      ++busy_;
      const int64_t epoch = sequence / sampler_.iterations_per_epoch();
      const std::shared_ptr<const std::vector<int64_t>> order = OrderOf(epoch);
      Slot& slot = slots_[sequence % slots_.size()];
      lock.unlock();
      {
        const TraceSpan span(track, "prepare a batch", sequence);
        Fill(*order, epoch, sequence % sampler_.iterations_per_epoch(), &desk, &slot);
      }
      lock.lock();
      --busy_;
      if (generation == generation_) {
        slot.ready = sequence;
        ready_.notify_one();
      }
      idle_.notify_all();
    }
  }

  // Returns the order of the images in `epoch`. Keeps the orders of two epochs, because workers may
  // be in two epochs at once. Call it with the mutex held.
  std::shared_ptr<const std::vector<int64_t>> OrderOf(int64_t epoch) {
    for (const auto& [known, order] : orders_) {
      if (known == epoch) return order;
    }
    if (orders_.size() == 2) orders_.erase(orders_.begin());
    orders_.emplace_back(epoch,
                         std::make_shared<const std::vector<int64_t>>(sampler_.Order(epoch)));
    return orders_.back().second;
  }

  void Fill(const std::vector<int64_t>& order, int64_t epoch, int64_t iteration, Desk* desk,
            Slot* slot) {
    const absl::Span<const int64_t> own = sampler_.Part(order, iteration);
    slot->indices.clear();
    const Sampler::Pairs pairs =
        batch_transform_ == nullptr ? Sampler::Pairs{own} : sampler_.PartInPairs(order, iteration);
    const absl::Span<const int64_t> part = pairs.indices;
    slot->first = pairs.first;
    slot->left_out = 0;
    int64_t* labels = slot->labels.mutable_data_ptr<int64_t>();
    auto* images = static_cast<uint8_t*>(slot->images.mutable_data_ptr());
    const auto bytes = static_cast<size_t>(slot->images.stride(0)) * slot->images.element_size();
    int64_t row = 0;
    for (int64_t visit : part) {
      int64_t* draws = desk->draws.data();
      if (options_.stored) {
        draws = slot->draws.mutable_data_ptr<int64_t>() + row * pipeline_.draws();
      }
      uint8_t* const image = images + static_cast<size_t>(row) * bytes;
      if (options_.training) {
        slot->status = PrepareOrSkip(epoch, &visit, desk, draws, image, &labels[row]);
      } else {
        slot->status = Prepare(epoch, visit, desk, draws, image, &labels[row]);
        if (absl::IsDataLoss(slot->status) && options_.on_corrupt == DataConfig::SKIP) {
          Skip(sampler_.ImageOf(visit), slot->status);
          slot->damage = slot->status;
          ++slot->left_out;
          continue;
        }
      }
      if (!slot->status.ok()) return;
      // `indices` lists only this rank's images, without the neighbours that complete pairs.
      if (row >= slot->first && row < slot->first + static_cast<int64_t>(own.size())) {
        slot->indices.push_back(visit);
      }
      ++row;
    }
    slot->status = absl::OkStatus();
    slot->rows = row;
    if (batch_transform_ != nullptr) Mix(epoch, iteration, slot);
  }

  // Prepares the image of visit `*visit` for training. If the image is damaged and on_corrupt is
  // SKIP, prepares the next undamaged image of the split instead and sets `*visit` to its visit.
  absl::Status PrepareOrSkip(int64_t epoch, int64_t* visit, Desk* desk, int64_t* draws,
                             uint8_t* image, int64_t* label) {
    for (int64_t skipped = 0;; ++skipped) {
      const absl::Status status = Prepare(epoch, *visit, desk, draws, image, label);
      if (!absl::IsDataLoss(status) || options_.on_corrupt != DataConfig::SKIP) return status;
      if (skipped == std::min(kMostSkipped, dataset_->size() - 1)) {
        return Annotate(status,
                        absl::StrCat("more than ", skipped, " images in a row are damaged"));
      }
      const int64_t index = sampler_.ImageOf(*visit);
      Skip(index, status);
      *visit += (index + 1) % dataset_->size() - index;
    }
  }

  void Skip(int64_t index, const absl::Status& status) {
    const std::lock_guard lock(skipped_mutex_);
    if (!skipped_.insert(index).second) return;
    skipped_sentences_.push_back(
        absl::StrCat("skipped a damaged image, ",
                     options_.training ? "the next takes its place" : "which no figure counts",
                     " (data.on_corrupt; ", skipped_.size(), " so far): ", status.message()));
  }

  // Reads and prepares image `index`. Writes its random numbers to `draws`, the result to `image`,
  // which is a row of Slot::images, and its label to `label`.
  absl::Status Prepare(int64_t epoch, int64_t visit, Desk* desk, int64_t* draws, uint8_t* image,
                       int64_t* label) const {
    const int64_t index = sampler_.ImageOf(visit);
    const ImageSize size = dataset_->SizeOf(index);
    const ImageShape shape = {manifest().channels(), size.height, size.width};
    pipeline_.Draw(options_.seed, epoch, visit, shape, draws);
    const auto apply = [&](auto* out) {
      if (!dataset_->encoded()) {
        pipeline_.Apply(desk->pixels, shape, draws, &desk->scratch, out);
      } else if (const DecodedImage& image = desk->image; image.place.has_value()) {
        pipeline_.ApplyToPart(image.pixels, {shape.channels, image.height, image.width},
                              *image.place, draws, &desk->scratch, out);
      } else {
        pipeline_.Apply(image.pixels, shape, draws, &desk->scratch, out);
      }
    };
    if (dataset_->encoded()) {
      FT_RETURN_IF_ERROR(dataset_->ReadEncoded(index, &desk->bytes, label));
      std::optional<NeededPart> need = pipeline_.NeedOf(shape, draws);
      if (need.has_value() && options_.exact_decoding) need->resized = {};
      const absl::Status decoded = desk->decoder.DecodePart(desk->bytes, size, need, &desk->image);
      if (!decoded.ok()) return Annotate(decoded, dataset_->Describe(index));
    } else {
      uint8_t* const stored = options_.stored ? image : desk->pixels.data();
      FT_RETURN_IF_ERROR(dataset_->Read({index}, stored, label));
      if (options_.stored) return absl::OkStatus();
    }
    if (options_.bfloat16) {
      apply(reinterpret_cast<Bfloat16*>(image));
    } else {
      apply(reinterpret_cast<float*>(image));
    }
    return absl::OkStatus();
  }

  // Draws the batch transform's random numbers for the batch, sets the partners' labels, and
  // applies the batch transform unless the images are stored ones.
  void Mix(int64_t epoch, int64_t iteration, Slot* slot) const {
    RandomStream random(options_.seed, RandomPurpose::kBatchTransform, static_cast<uint32_t>(epoch),
                        static_cast<uint64_t>(iteration), stream_);
    auto* draws = slot->mixing.mutable_data_ptr<float>();
    batch_transform_->Draw(&random, {pipeline_.channels(), pipeline_.height(), pipeline_.width()},
                           draws);
    const int64_t* labels = slot->labels.const_data_ptr<int64_t>();
    int64_t* partners = slot->partner_labels.mutable_data_ptr<int64_t>();
    // Rows 2k and 2k + 1 are partners. With an odd number of rows the last one is its own partner.
    for (int64_t i = 0; i < slot->rows; ++i) partners[i] = labels[(i ^ 1) < slot->rows ? i ^ 1 : i];
    if (options_.stored) return;
    const ImageShape shape = {pipeline_.channels(), pipeline_.height(), pipeline_.width()};
    const auto mix = [&](auto* images) {
      const int64_t values = slot->images.stride(0);
      for (int64_t i = 0; i + 1 < slot->rows; i += 2) {
        batch_transform_->Apply(draws, shape, images + i * values, images + (i + 1) * values);
      }
    };
    if (options_.bfloat16) {
      mix(static_cast<Bfloat16*>(slot->images.mutable_data_ptr()));
    } else {
      mix(slot->images.mutable_data_ptr<float>());
    }
  }

  const std::unique_ptr<Dataset> dataset_;
  const Pipeline pipeline_;
  const std::unique_ptr<const BatchTransform> batch_transform_;
  const uint32_t stream_;
  const Sampler sampler_;
  const LoaderOptions options_;

  std::mutex mutex_;
  std::condition_variable work_, ready_, idle_;
  std::vector<Slot> slots_;
  std::vector<std::pair<int64_t, std::shared_ptr<const std::vector<int64_t>>>> orders_;
  bool started_ = false;
  bool stop_ = false;
  int busy_ = 0;
  int64_t generation_ = 0;
  // Sequence numbers. first_: the batch of the last Seek(). next_: the next batch that Next() will
  // return. taken_: the next batch that a worker will take. end_: one past the last batch.
  int64_t first_ = 0, next_ = 0, taken_ = 0, end_ = 0;
  // The number of damaged images in the batches without an undamaged image that Next() has returned
  // since the last other batch.
  int64_t damaged_in_row_ = 0;
  std::mutex skipped_mutex_;
  std::set<int64_t> skipped_;
  std::vector<std::string> skipped_sentences_;
  std::vector<std::thread> workers_;
};

namespace {

// Returns the indices of each class's images, by label.
std::vector<std::vector<int64_t>> ImagesByClass(const Dataset& dataset) {
  std::vector<std::vector<int64_t>> images(dataset.manifest().class_name_size());
  for (int64_t i = 0; i < dataset.size(); ++i) images[dataset.LabelOf(i)].push_back(i);
  return images;
}

}  // namespace

absl::StatusOr<std::unique_ptr<BatchLoader>> BatchLoader::Create(std::unique_ptr<Dataset> dataset,
                                                                 const SplitConfig& split,
                                                                 const LoaderOptions& options) {
  FT_ASSIGN_OR_RETURN(
      Pipeline pipeline,
      Pipeline::Create(split, dataset->manifest(),
                       options.statistics.has_value() ? &*options.statistics : nullptr));
  std::unique_ptr<const BatchTransform> batch_transform;
  if (options.training && split.has_batch_transform()) {
    ProblemList found;
    batch_transform =
        MakeBatchTransform(split.batch_transform(), Problems(&found, "batch_transform"));
    FT_RETURN_IF_ERROR(found.status());
  }
  Sampler sampler;
  sampler.images = dataset->size();
  sampler.total_batch = TotalBatchSize(split, options.world_size);
  sampler.rank = options.rank;
  sampler.world_size = options.world_size;
  sampler.seed = options.seed;
  sampler.shuffle = split.has_shuffle() ? split.shuffle() : options.training;
  sampler.drop_last = options.training && split.drop_last();
  if (options.training) {
    sampler.repeats = split.repeated_augmentation();
    if (split.sampling() == SplitConfig::CLASS_BALANCED) {
      sampler.images_by_class =
          std::make_shared<const std::vector<std::vector<int64_t>>>(ImagesByClass(*dataset));
    }
  }
  LoaderOptions of_images = options;
  of_images.stored = options.stored && !dataset->encoded() && pipeline.on_device();
  return std::unique_ptr<BatchLoader>(new BatchLoader(
      std::make_unique<Impl>(std::move(dataset), std::move(pipeline), std::move(batch_transform),
                             static_cast<uint32_t>(split.batch_transform().kind_case()), sampler,
                             of_images, split.workers(), split.prefetch())));
}

BatchLoader::BatchLoader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BatchLoader::~BatchLoader() = default;
const Sampler& BatchLoader::sampler() const { return impl_->sampler(); }
const DatasetManifest& BatchLoader::manifest() const { return impl_->manifest(); }
std::vector<int64_t> BatchLoader::class_counts() const { return impl_->class_counts(); }
const Pipeline& BatchLoader::pipeline() const { return impl_->pipeline(); }
bool BatchLoader::stored() const { return impl_->stored(); }
std::optional<DevicePipeline> BatchLoader::PipelineOn(at::Device device) const {
  return impl_->PipelineOn(device);
}
void BatchLoader::Seek(int64_t epoch, int64_t iteration) { impl_->Seek(epoch, iteration); }
absl::StatusOr<Batch> BatchLoader::Next() { return impl_->Next(); }
std::vector<std::string> BatchLoader::TakeSkipped() { return impl_->TakeSkipped(); }

}  // namespace finetune
