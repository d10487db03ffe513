#ifndef FINETUNE_OBSERVE_CSV_FIELD_H_
#define FINETUNE_OBSERVE_CSV_FIELD_H_

#include <string>

namespace finetune {

// A field of RFC 4180: in quotes where it holds a comma, a quote or a line's end.
std::string CsvField(const std::string& text);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_CSV_FIELD_H_
