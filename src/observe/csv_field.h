#ifndef FINETUNE_OBSERVE_CSV_FIELD_H_
#define FINETUNE_OBSERVE_CSV_FIELD_H_

#include <string>

namespace finetune {

// Returns `text` as a field of a CSV file (RFC 4180): in quotes if it contains a comma, a quote or
// a line break.
std::string CsvField(const std::string& text);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_CSV_FIELD_H_
