#include "src/data/sampler.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "src/base/philox.h"

namespace finetune {

std::vector<int64_t> Sampler::Order(int64_t epoch) const {
  std::vector<int64_t> order(images);
  std::iota(order.begin(), order.end(), int64_t{0});
  if (!shuffle) return order;
  // The shuffle of Fisher and Yates, in Durstenfeld's in-place form.
  RandomStream random(seed, RandomPurpose::kEpochOrder, static_cast<uint32_t>(epoch), 0);
  for (int64_t i = images - 1; i > 0; --i) {
    std::swap(order[i], order[random.Below(static_cast<uint32_t>(i + 1))]);
  }
  return order;
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
