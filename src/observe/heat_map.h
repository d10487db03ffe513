#ifndef FINETUNE_OBSERVE_HEAT_MAP_H_
#define FINETUNE_OBSERVE_HEAT_MAP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace finetune {

// Draws a confusion matrix as one inline <svg> of a page: a row for each class, a column for each
// class that its images are taken for. A cell is as dark as its share of the row; cells of the
// class "right" lie on the diagonal, others have the class "wrong". Up to 20 classes have their
// counts in the cells, and up to 40 their names beside the rows and columns.
//
// `matrix`: as ConfusionMatrix(), [classes, classes]. `names`: one for each class.
std::string ConfusionSvg(absl::Span<const int64_t> matrix, const std::vector<std::string>& names);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_HEAT_MAP_H_
