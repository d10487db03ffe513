#ifndef FINETUNE_OBSERVE_HEAT_MAP_H_
#define FINETUNE_OBSERVE_HEAT_MAP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace finetune {

// Returns a drawing of a confusion matrix as an <svg> element to embed in an HTML page. Row r,
// column c stands for the images of class r that the model took for class c. The larger the cell's
// share of the row's images, the darker it is. Cells on the diagonal have the CSS class "right",
// the others "wrong". With up to 20 classes the cells show their counts. With up to 40 classes the
// rows and columns have the classes' names.
//
// `matrix`: [classes, classes], as ConfusionMatrix() returns it. `names`: the name of each class.
std::string ConfusionSvg(absl::Span<const int64_t> matrix, const std::vector<std::string>& names);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_HEAT_MAP_H_
