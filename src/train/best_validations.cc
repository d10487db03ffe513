#include "src/train/best_validations.h"

#include <algorithm>

namespace finetune {

bool AddToBest(const BestValidation& added, bool higher_is_better, size_t most,
               std::vector<BestValidation>* best) {
  const auto place = std::find_if(best->begin(), best->end(), [&](const BestValidation& one) {
    return higher_is_better ? added.value > one.value : added.value < one.value;
  });
  if (static_cast<size_t>(place - best->begin()) >= most) return false;
  best->insert(place, added);
  if (best->size() > most) best->resize(most);
  return true;
}

}  // namespace finetune
