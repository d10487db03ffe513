#include "src/model/loss.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/topk.h>

#include <algorithm>

namespace finetune {

at::Tensor CrossEntropySum(const at::Tensor& logits, const at::Tensor& labels,
                           double label_smoothing) {
  return at::cross_entropy_loss(logits, labels, /*weight=*/{}, at::Reduction::Sum,
                                /*ignore_index=*/-100, label_smoothing);
}

std::vector<int64_t> TopKCorrect(const at::Tensor& logits, const at::Tensor& labels,
                                 const std::vector<int>& ks) {
  if (ks.empty()) return {};
  const int64_t most = std::min<int64_t>(*std::max_element(ks.begin(), ks.end()), logits.size(1));
  // [N, most], best first.
  const at::Tensor hits = std::get<1>(logits.topk(most, 1)).eq(labels.unsqueeze(1));
  std::vector<int64_t> correct;
  for (const int k : ks) {
    correct.push_back(hits.narrow(1, 0, std::min<int64_t>(k, most)).sum().item<int64_t>());
  }
  return correct;
}

}  // namespace finetune
