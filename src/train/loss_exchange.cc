#include "src/train/loss_exchange.h"

#include <algorithm>

#include "absl/types/span.h"

namespace finetune {

absl::StatusOr<LossExchange::Exchanged> LossExchange::Exchange(size_t left, const Flags& mine) {
  constexpr size_t kFlags = 2;
  std::vector<double> sums = {mine.stop ? 1.0 : 0.0, mine.warned ? 1.0 : 0.0};
  const size_t count = parts_.size() - std::min(left, parts_.size());
  for (size_t i = 0; i < count; ++i) sums.push_back(parts_[i].value.Read());
  FT_RETURN_IF_ERROR(comm_.AllReduceSum(absl::MakeSpan(sums)));
  Exchanged exchanged;
  exchanged.any = {sums[0] > 0, sums[1] > 0};
  for (size_t i = 0; i < count; ++i) {
    exchanged.losses.push_back({parts_.front().iteration, parts_.front().lr, sums[kFlags + i]});
    parts_.pop_front();
  }
  return exchanged;
}

}  // namespace finetune
