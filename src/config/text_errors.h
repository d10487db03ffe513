#ifndef FINETUNE_CONFIG_TEXT_ERRORS_H_
#define FINETUNE_CONFIG_TEXT_ERRORS_H_

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

namespace finetune {

// An error in a text, and its place.
struct TextError {
  int line = 1;    // from 1
  int column = 1;  // from 1
  // The field that the error is about, as written in the text; empty where it is not about a field.
  std::string field;
  // The error: "expected a whole number, got two".
  std::string what;
};

// Returns all errors in `text` as the text format of a message of `type`, in the order of the text.
// Protobuf's own parser stops at the first error. Numbers with a leading 0 (010), which that parser
// reads as octal, are errors too. If the parser accepts the text, these are the only errors. If the
// parser refuses the text, the result may still be empty.
// `rest`, unless null: set to the text with spaces in place of each field that has an error, so
// that the other fields keep their places. The parser accepts it unless brackets or quotes are
// wrong.
std::vector<TextError> FindTextErrors(const std::string& text,
                                      const google::protobuf::Descriptor* type,
                                      std::string* rest = nullptr);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_TEXT_ERRORS_H_
