#include "src/data/sampler.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "src/base/philox.h"

namespace finetune {

namespace {

// The random streams of RandomPurpose::kEpochOrder, by object number: kVisits shuffles all visits,
// kClasses the classes, and kFirstClass + c the images of class c.
constexpr uint64_t kVisits = 0, kClasses = 1, kFirstClass = 2;

RandomStream OrderStream(const Sampler& sampler, int64_t epoch, uint64_t object) {
  return RandomStream(sampler.seed, RandomPurpose::kEpochOrder, static_cast<uint32_t>(epoch),
                      object);
}

// Shuffles the values by the Fisher-Yates method.
void Shuffle(RandomStream random, std::vector<int64_t>* values) {
  for (auto i = static_cast<int64_t>(values->size()) - 1; i > 0; --i) {
    std::swap((*values)[i], (*values)[random.Below(static_cast<uint32_t>(i + 1))]);
  }
}

// Returns the visits of an epoch with equally many images of each class that has images. They are
// in the order of a random sequence of the classes. If the number of images is not a multiple of
// the number of classes, the first classes of this sequence get one visit more. All images of a
// class are visited before one is visited again.
std::vector<int64_t> BalancedVisits(const Sampler& sampler, int64_t epoch) {
  const std::vector<std::vector<int64_t>>& by_class = *sampler.images_by_class;
  std::vector<int64_t> classes;
  for (size_t c = 0; c < by_class.size(); ++c) {
    if (!by_class[c].empty()) classes.push_back(static_cast<int64_t>(c));
  }
  Shuffle(OrderStream(sampler, epoch, kClasses), &classes);
  const auto count = static_cast<int64_t>(classes.size());
  std::vector<int64_t> visits;
  visits.reserve(sampler.images);
  for (int64_t i = 0; i < count; ++i) {
    std::vector<int64_t> own = by_class[classes[i]];
    Shuffle(OrderStream(sampler, epoch, kFirstClass + static_cast<uint64_t>(classes[i])), &own);
    const auto size = static_cast<int64_t>(own.size());
    const int64_t quota = sampler.images / count + (i < sampler.images % count ? 1 : 0);
    for (int64_t k = 0; k < quota; ++k) {
      visits.push_back(own[k % size] + k / size * sampler.images);
    }
  }
  return visits;
}

// Returns an order in which each image of a global batch occurs `repeats` times in the batch, or
// less often if the batch has no more room. The images are taken from the front of `order`. The
// visits of one image are as far apart in the batch as possible, so that a BatchTransform pairs
// different images and each rank gets different images.
std::vector<int64_t> Repeated(const Sampler& sampler, const std::vector<int64_t>& order) {
  std::vector<int64_t> repeated;
  repeated.reserve(order.size());
  int64_t next = 0;
  for (int64_t b = 0; static_cast<int64_t>(repeated.size()) < sampler.images; ++b) {
    const int64_t size = sampler.GlobalSize(b);
    const int64_t different = CeilDivide(size, int64_t{sampler.repeats});
    for (int64_t i = 0; i < size; ++i) {
      const int64_t visit = order[next + i % different];
      const int64_t image = sampler.ImageOf(visit), before = visit / sampler.images;
      repeated.push_back(image + (before * sampler.repeats + i / different) * sampler.images);
    }
    next += different;
  }
  return repeated;
}

}  // namespace

std::vector<int64_t> Sampler::Order(int64_t epoch) const {
  std::vector<int64_t> order;
  if (images_by_class != nullptr) {
    order = BalancedVisits(*this, epoch);
  } else {
    order.resize(images);
    std::iota(order.begin(), order.end(), int64_t{0});
  }
  if (shuffle) Shuffle(OrderStream(*this, epoch, kVisits), &order);
  return repeats > 1 ? Repeated(*this, order) : order;
}

int64_t Sampler::GlobalSize(int64_t iteration) const {
  return std::min(total_batch, images - iteration * total_batch);
}

absl::Span<const int64_t> Sampler::Part(absl::Span<const int64_t> order, int64_t iteration) const {
  const int64_t size = GlobalSize(iteration);
  const int64_t begin = size * rank / world_size;
  const int64_t end = size * (rank + 1) / world_size;
  return order.subspan(iteration * total_batch + begin, end - begin);
}

Sampler::Pairs Sampler::PartInPairs(absl::Span<const int64_t> order, int64_t iteration) const {
  const absl::Span<const int64_t> part = Part(order, iteration);
  if (part.empty()) return {part};
  const absl::Span<const int64_t> batch =
      order.subspan(iteration * total_batch, GlobalSize(iteration));
  const int64_t begin = part.data() - batch.data();
  const int64_t end = begin + static_cast<int64_t>(part.size());
  const int64_t size = static_cast<int64_t>(batch.size());
  const int64_t from = begin - begin % 2;
  return {batch.subspan(from, std::min(end + end % 2, size) - from), begin - from};
}

}  // namespace finetune
