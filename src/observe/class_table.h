#ifndef FINETUNE_OBSERVE_CLASS_TABLE_H_
#define FINETUNE_OBSERVE_CLASS_TABLE_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "src/metrics/by_class.h"

namespace finetune {

// The CSS rules that a page with ClassTable() needs in its <style> element.
extern const char kClassTableStyle[];

// Returns an HTML table with a row for each class: number of images, precision, recall and F1. With
// radio buttons above the table the reader chooses the column by which it is sorted. This needs no
// script: each row has its positions in all orders as CSS variables, and the CSS rules use one of
// them. A page can have only one such table.
//
// `classes`: the result of each class. `has_guessed`: whether ClassResult::guessed is known; if
// not, the table shows only images and recall. `names`: the name of each class. If there are more
// than 1000 classes, the table shows the 1000 with the lowest recall.
std::string ClassTable(absl::Span<const ClassResult> classes, bool has_guessed,
                       const std::vector<std::string>& names);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_CLASS_TABLE_H_
