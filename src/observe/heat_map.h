#ifndef FINETUNE_OBSERVE_HEAT_MAP_H_
#define FINETUNE_OBSERVE_HEAT_MAP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace finetune {

// Draws a confusion matrix as an <svg> element to embed in an HTML page. It has a row for each
// class and a column for each class that the row's images are taken for. A cell is as dark as its
// share of the row's images. Cells on the diagonal have the CSS class "right", the others "wrong".
// With up to 20 classes the cells show counts; with up to 40 the rows and columns show names.
//
// `matrix`: [classes, classes], as ConfusionMatrix() returns it. `names`: one for each class.
std::string ConfusionSvg(absl::Span<const int64_t> matrix, const std::vector<std::string>& names);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_HEAT_MAP_H_
