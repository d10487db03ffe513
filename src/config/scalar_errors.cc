#include "src/config/scalar_errors.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/config/fields.h"

namespace finetune {
namespace {

using ::google::protobuf::EnumDescriptor;
using ::google::protobuf::FieldDescriptor;
using Tokenizer = Tokens::Tokenizer;

// Returns the error in a number; "" if there is none. A leading 0 is an error: protobuf's parser
// would read an octal number, and nobody who writes 010 means 8. Hexadecimal (0x1F) is not an
// error, because nobody writes it by accident. `expected`: the kind of number to name in the error,
// such as "a whole number".
std::string WrongWithDigits(absl::string_view sign, absl::string_view expected,
                            const Tokens& tokens) {
  const std::string& text = tokens.text();
  if (text.size() < 2 || text[0] != '0' || !absl::ascii_isdigit(text[1])) return "";
  const std::string written = tokens.WrittenNumber();
  const bool is_whole = std::all_of(written.begin(), written.end(), absl::ascii_isdigit);
  std::string decimal = written.substr(std::min(written.find_first_not_of('0'), written.size()));
  if (decimal.empty() || !absl::ascii_isdigit(decimal[0])) decimal.insert(0, "0");
  double value = 0;
  if (!(is_whole || expected == "a number") ||
      !absl::SimpleAtod(absl::StripSuffix(decimal, "f"), &value)) {
    return absl::StrCat("expected ", expected, ", got ", sign, written);
  }
  return absl::StrCat("is ", sign, written, "; a leading 0 would make it octal: write ", sign,
                      decimal);
}

// Reads a whole number from -`low` to `high`. Returns the error, or "".
std::string ReadInteger(uint64_t low, uint64_t high, Tokens* tokens) {
  const bool negative = tokens->Take("-");
  const absl::string_view sign = negative ? "-" : "";
  if (!tokens->Is(Tokenizer::TYPE_INTEGER)) {
    return absl::StrCat("expected a whole number, got ", sign, tokens->Shown());
  }
  if (std::string wrong = WrongWithDigits(sign, "a whole number", *tokens); !wrong.empty()) {
    return wrong;
  }
  uint64_t value = 0;
  if (!Tokenizer::ParseInteger(tokens->text(), std::numeric_limits<uint64_t>::max(), &value) ||
      value > (negative ? low : high)) {
    return absl::StrCat("is ", sign, tokens->text(), "; expected ",
                        low > 0    ? absl::StrCat("-", low, " to ", high)
                        : negative ? "0 or more"
                                   : absl::StrCat("0 to ", high));
  }
  tokens->Next();
  return "";
}

std::string ReadNumber(Tokens* tokens) {
  const absl::string_view sign = tokens->Take("-") ? "-" : "";
  if (std::string wrong = WrongWithDigits(sign, "a number", *tokens); !wrong.empty()) return wrong;
  const std::string text = absl::AsciiStrToLower(tokens->text());
  if (absl::StartsWith(text, "0x")) {
    return absl::StrCat("is ", sign, tokens->WrittenNumber(), "; expected a decimal number");
  }
  if (!tokens->Is(Tokenizer::TYPE_INTEGER) && !tokens->Is(Tokenizer::TYPE_FLOAT) && text != "inf" &&
      text != "infinity" && text != "nan") {
    return absl::StrCat("expected a number, got ", sign, tokens->Shown());
  }
  tokens->Next();
  return "";
}

std::string ReadBool(Tokens* tokens) {
  if (std::string wrong = WrongWithDigits("", "true or false", *tokens); !wrong.empty()) {
    return wrong;
  }
  for (const char* value : {"true", "True", "t", "1", "false", "False", "f", "0"}) {
    if (tokens->Take(value)) return "";
  }
  return absl::StrCat("expected true or false, got ", tokens->Shown());
}

std::string ReadEnum(const EnumDescriptor* type, Tokens* tokens) {
  const std::string& text = tokens->text();
  if (std::string wrong = WrongWithDigits("", "a value's name", *tokens); !wrong.empty()) {
    return wrong;
  }
  uint64_t number = 0;
  const bool known = tokens->Is(Tokenizer::TYPE_IDENTIFIER)
                         ? type->FindValueByName(text) != nullptr
                         : tokens->Is(Tokenizer::TYPE_INTEGER) &&
                               Tokenizer::ParseInteger(text, 1 << 30, &number) &&
                               type->FindValueByNumber(static_cast<int>(number)) != nullptr;
  if (!known) {
    return absl::StrCat("no such value ", tokens->Shown(), "; ", SuggestEnumValue(type, text));
  }
  tokens->Next();
  return "";
}

std::string ReadString(Tokens* tokens) {
  if (!tokens->Is(Tokenizer::TYPE_STRING)) {
    return absl::StrCat("expected text in quotes, got ", tokens->Shown());
  }
  while (tokens->Is(Tokenizer::TYPE_STRING)) tokens->Next();
  return "";
}

}  // namespace

std::string TakeScalar(const FieldDescriptor* field, Tokens* tokens) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return ReadInteger(uint64_t{1} << 31, std::numeric_limits<int32_t>::max(), tokens);
    case FieldDescriptor::CPPTYPE_INT64:
      return ReadInteger(uint64_t{1} << 63, std::numeric_limits<int64_t>::max(), tokens);
    case FieldDescriptor::CPPTYPE_UINT32:
      return ReadInteger(0, std::numeric_limits<uint32_t>::max(), tokens);
    case FieldDescriptor::CPPTYPE_UINT64:
      return ReadInteger(0, std::numeric_limits<uint64_t>::max(), tokens);
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      return ReadNumber(tokens);
    case FieldDescriptor::CPPTYPE_BOOL:
      return ReadBool(tokens);
    case FieldDescriptor::CPPTYPE_ENUM:
      return ReadEnum(field->enum_type(), tokens);
    case FieldDescriptor::CPPTYPE_STRING:
      return ReadString(tokens);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return "";
}

}  // namespace finetune
