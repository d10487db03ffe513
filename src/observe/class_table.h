#ifndef FINETUNE_OBSERVE_CLASS_TABLE_H_
#define FINETUNE_OBSERVE_CLASS_TABLE_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "src/metrics/by_class.h"

namespace finetune {

// The style of ClassTable(), for the page's <style>.
extern const char kClassTableStyle[];

// Returns a table of HTML with a row for each class: images, precision, recall and F1. The reader
// chooses by radio buttons which column it is sorted by, without a script: each row carries its
// place in each order, and CSS picks one. There can be one such table on a page.
//
// `has_guessed`: the results know what was guessed; else the table has recall alone, and no
// choice but class and recall. `names`: one for each class. Of more than 1000 classes the table has
// the 1000 with the lowest recall.
std::string ClassTable(absl::Span<const ClassResult> classes, bool has_guessed,
                       const std::vector<std::string>& names);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_CLASS_TABLE_H_
