#ifndef FINETUNE_CONFIG_SCALAR_ERRORS_H_
#define FINETUNE_CONFIG_SCALAR_ERRORS_H_

#include <google/protobuf/descriptor.h>

#include <string>

#include "src/config/tokens.h"

namespace finetune {

// Reads the value of `field`, which is not a message, in text format. For a correct value it moves
// past the value and returns "". Otherwise it does not move past the value, and returns the error
// ("expected a whole number, got two"). Numbers with a leading 0 are errors, because protobuf's
// parser reads them as octal.
std::string TakeScalar(const google::protobuf::FieldDescriptor* field, Tokens* tokens);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_SCALAR_ERRORS_H_
