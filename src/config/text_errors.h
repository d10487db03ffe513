#ifndef FINETUNE_CONFIG_TEXT_ERRORS_H_
#define FINETUNE_CONFIG_TEXT_ERRORS_H_

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

namespace finetune {

// One thing wrong with a text, and where it stands.
struct TextError {
  int line = 1;    // from 1
  int column = 1;  // from 1
  // The field it is about, as it is written; empty where it is about none.
  std::string field;
  // "expected a whole number, got two".
  std::string what;
};

// Finds what is wrong with `text` as text format of a message of `type`, in the order of the text:
// all of it, where protobuf's parser ends at the first value that it cannot read. Numbers with a
// leading 0 (010), which that parser reads as octal, are wrong too. Returns nothing for any other
// text that the parser takes, and may return nothing for a text that it refuses.
std::vector<TextError> FindTextErrors(const std::string& text,
                                      const google::protobuf::Descriptor* type);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_TEXT_ERRORS_H_
