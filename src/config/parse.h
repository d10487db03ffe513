#ifndef FINETUNE_CONFIG_PARSE_H_
#define FINETUNE_CONFIG_PARSE_H_

#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "src/config/origins.h"
#include "src/config/text_errors.h"

namespace finetune {

struct ParsedText {
  std::vector<TextError> errors;  // all errors in the text
  // Whether the message has the values of all fields without an error. If brackets or quotes are
  // wrong, it has only the values before the first such place.
  bool understood = true;
};

// Parses text format into `message`, which is at `path` of the config, and adds the place of each
// value to `origins`. `file`: the place to record, whose line and column are filled in.
ParsedText ParseText(const std::string& text, const std::string& path, const Place& file,
                     google::protobuf::Message* message, Origins* origins);

// Returns "field: what is wrong", or only what is wrong where the error is not about a field.
std::string ToString(const TextError& error);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_PARSE_H_
