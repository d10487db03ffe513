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

// What is wrong with `text` as text format of a message of `type`, in the order of the text: all of
// it, where protobuf's parser ends at the first value that it cannot read. Meant for texts which
// that parser has refused; may find nothing in what is wrong in a way not thought of here.
std::vector<TextError> FindTextErrors(const std::string& text,
                                      const google::protobuf::Descriptor* type);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_TEXT_ERRORS_H_
