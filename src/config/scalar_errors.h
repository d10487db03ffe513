#ifndef FINETUNE_CONFIG_SCALAR_ERRORS_H_
#define FINETUNE_CONFIG_SCALAR_ERRORS_H_

#include <google/protobuf/descriptor.h>

#include <string>

#include "src/config/tokens.h"

namespace finetune {

// Reads the value of `field`, which is not a message, as text format has it. Goes past a value that
// is right and returns "". Returns what is wrong with another one ("expected a whole number, got
// two") and stays at it. Numbers with a leading 0 are wrong: protobuf's parser reads them as octal.
std::string TakeScalar(const google::protobuf::FieldDescriptor* field, Tokens* tokens);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_SCALAR_ERRORS_H_
