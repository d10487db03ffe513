#ifndef FINETUNE_OBSERVE_CLASS_TABLE_H_
#define FINETUNE_OBSERVE_CLASS_TABLE_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "src/metrics/by_class.h"

namespace finetune {

// The style of ClassTable(), for the page's <style>.
extern const char kClassTableStyle[];

// Returns an HTML table with a row for each class: images, precision, recall and F1. The reader
// chooses with radio buttons by which column it is sorted. This needs no script: each row carries
// its position in each order, and CSS selects one. A page can have only one such table.
//
// `has_guessed`: the results contain the number of images guessed as each class. Without it the
// table shows only images and recall. `names`: one for each class. With more than 1000 classes the
// table shows the 1000 with the lowest recall.
std::string ClassTable(absl::Span<const ClassResult> classes, bool has_guessed,
                       const std::vector<std::string>& names);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_CLASS_TABLE_H_
