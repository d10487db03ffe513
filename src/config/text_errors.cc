#include "src/config/text_errors.h"

#include <google/protobuf/io/tokenizer.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/config/fields.h"
#include "src/config/scalar_errors.h"
#include "src/config/tokens.h"

namespace finetune {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::OneofDescriptor;
using Tokenizer = Tokens::Tokenizer;

// Nobody reads more errors at once. A file in another language has an error on every line.
constexpr size_t kMostErrors = 20;
constexpr int kMaxDepth = 64;

std::string ToString(TextPlace at) { return absl::StrCat(at.line + 1, ":", at.column + 1); }

// Reads a text as protobuf's parser does, but continues after an error.
class Reader : private google::protobuf::io::ErrorCollector {
 public:
  // `text` must outlive this object.
  explicit Reader(const std::string& text) : tokens_(text, this), rest_(text) {}

  // Returns the text with spaces in place of the fields that have an error. Called after Read().
  const std::string& rest() const { return rest_; }

  std::vector<TextError> Read(const Descriptor* type) {
    while (true) {
      ReadFields(type, /*end=*/"", 0);
      if (tokens_.AtEnd()) break;
      Add(tokens_.place(), "", absl::StrCat("this ", tokens_.Shown(), " closes nothing"));
      tokens_.Next();
    }
    std::stable_sort(errors_.begin(), errors_.end(), [](const TextError& a, const TextError& b) {
      return std::pair(a.line, a.column) < std::pair(b.line, b.column);
    });
    return std::move(errors_);
  }

 private:
  void AddError(int line, google::protobuf::io::ColumnNumber column,
                const std::string& message) override {
    if (message == "String literals cannot cross line boundaries." ||
        message == "Unexpected end of string.") {
      Add({line, column}, "", "text in quotes is not closed");
    } else if (absl::StartsWith(message, "Interpreting non ascii codepoint")) {
      Add({line, column}, "", "letters beyond ASCII can only stand in quotes and comments");
    } else {
      Add({line, column}, "", message);
    }
  }

  void Add(TextPlace at, const std::string& field, std::string what) {
    // Only the first error at a place is kept.
    for (const TextError& error : errors_) {
      if (error.line == at.line + 1 && error.column == at.column + 1) return;
    }
    if (errors_.size() < kMostErrors) {
      errors_.push_back({at.line + 1, at.column + 1, field, std::move(what)});
    }
  }

  bool AtBracket() const { return tokens_.Is("{") || tokens_.Is("<") || tokens_.Is("["); }
  bool AtClosing() const {
    return tokens_.AtEnd() || tokens_.Is("}") || tokens_.Is(">") || tokens_.Is("]");
  }

  // Reads the fields of a message and the `end` ("}" or ">") after them. For the outermost message
  // `end` is empty, and reading stops at the end of the text or at a closing bracket.
  void ReadFields(const Descriptor* type, const std::string& end, int depth) {
    std::map<const FieldDescriptor*, TextPlace> seen;
    std::map<const OneofDescriptor*, const FieldDescriptor*> chosen;
    while (!AtClosing()) {
      if (!tokens_.Is(Tokenizer::TYPE_IDENTIFIER)) {
        const TextPlace at = tokens_.place();
        Add(at, "", absl::StrCat("expected a field's name, got ", tokens_.Shown()));
        SkipValue();
        Drop(at);
        continue;
      }
      const TextPlace at = tokens_.place();
      std::string name = tokens_.text();
      tokens_.Next();
      if (tokens_.Is(".")) {
        while (tokens_.Take(".")) {
          absl::StrAppend(&name, ".", tokens_.text());
          tokens_.Next();
        }
        Add(at, name, "a file nests its fields in braces: a { b: 1 }; paths are for --set");
        SkipField();
        Drop(at);
        continue;
      }
      const FieldDescriptor* field = type->FindFieldByName(name);
      if (field == nullptr) {
        Add(at, name,
            absl::StrCat("no such field in ", type->name(), "; ", SuggestField(type, name)));
        SkipField();
        Drop(at);
        continue;
      }
      const bool is_new = IsNew(field, at, &seen, &chosen);
      const bool is_right = ReadField(field, depth);
      TakeSeparator();
      if (!is_new || !is_right) Drop(at);
    }
    if (end.empty() || tokens_.Take(end)) return;
    // ReadValue(), which knows the place of the opening bracket, reports the error.
    unclosed_ = true;
  }

  // Returns whether the field may stand here beside the earlier fields of its message.
  bool IsNew(const FieldDescriptor* field, TextPlace at,
             std::map<const FieldDescriptor*, TextPlace>* seen,
             std::map<const OneofDescriptor*, const FieldDescriptor*>* chosen) {
    const auto [first, is_new] = seen->emplace(field, at);
    if (!is_new && !field->is_repeated()) {
      Add(at, field->name(),
          absl::StrCat("is given twice, first at ", ToString(first->second), "; put ",
                       field->message_type() != nullptr ? "its fields together" : "one of them"));
      return false;
    }
    const OneofDescriptor* oneof = field->real_containing_oneof();
    if (oneof == nullptr) return true;
    const FieldDescriptor* other = chosen->emplace(oneof, field).first->second;
    if (other == field) return true;
    Add(at, field->name(),
        absl::StrCat("and ", other->name(), " (", ToString(seen->at(other)),
                     ") exclude each other; leave one out"));
    return false;
  }

  // Reads the part of a field that follows its name. Returns false if its value is wrong. A wrong
  // field inside a message does not make the message wrong.
  bool ReadField(const FieldDescriptor* field, int depth) {
    const bool is_message = field->message_type() != nullptr;
    if (tokens_.Is("=")) {
      Add(tokens_.place(), field->name(),
          is_message ? "expected {, got =" : "expected : before its value, got =");
      tokens_.Next();
      if (!AtClosing()) SkipValue();
      return false;
    }
    if (!tokens_.Take(":") && !is_message) {
      Add(tokens_.place(), field->name(),
          absl::StrCat("expected : before its value, got ", tokens_.Shown()));
      // An identifier is taken for the next field's name; anything else for this field's value.
      if (!AtClosing() && !tokens_.Is(Tokenizer::TYPE_IDENTIFIER)) SkipValue();
      return false;
    }
    if (!tokens_.Is("[")) return ReadValue(field, depth);
    if (!field->is_repeated()) {
      Add(tokens_.place(), field->name(),
          absl::StrCat("takes one ", is_message ? "message" : "value", ", got a list"));
      SkipValue();
      return false;
    }
    const TextPlace bracket = tokens_.place();
    tokens_.Next();
    bool is_right = true;
    while (!AtClosing()) {
      is_right = ReadValue(field, depth) && is_right;
      if (tokens_.Is("]")) break;
      if (tokens_.Take(",")) continue;
      Add(bracket, field->name(), "its [ is not closed");
      return true;  // the brackets show that the rest cannot be understood
    }
    if (!tokens_.Take("]")) Add(bracket, field->name(), "its [ is not closed");
    return is_right;
  }

  // Returns false if the value is wrong, as ReadField() does.
  bool ReadValue(const FieldDescriptor* field, int depth) {
    if (field->message_type() == nullptr) return ReadScalar(field);
    const TextPlace at = tokens_.place();
    const std::string end = tokens_.Is("{") ? "}" : ">";
    if (!tokens_.Is("{") && !tokens_.Is("<")) {
      Add(at, field->name(), absl::StrCat("is a message: expected {, got ", tokens_.Shown()));
      if (!AtClosing()) SkipValue();
      return false;
    }
    if (depth >= kMaxDepth) {
      Add(at, field->name(), "is nested too deep");
      SkipValue();
      return false;
    }
    tokens_.Next();
    ReadFields(field->message_type(), end, depth + 1);
    if (std::exchange(unclosed_, false)) {
      Add(at, field->name(), absl::StrCat("its ", end == "}" ? "{" : "<", " is not closed"));
    }
    return true;
  }

  bool ReadScalar(const FieldDescriptor* field) {
    const TextPlace at = tokens_.place();
    const std::string wrong = TakeScalar(field, &tokens_);
    if (wrong.empty()) return true;
    DropErrorsInNumber();
    Add(at, field->name(), wrong);
    if (!AtClosing()) SkipValue();
    return false;
  }

  // Replaces the text from `begin` to the token before the current one by spaces in rest_.
  void Drop(TextPlace begin) {
    // Finding a place in the text takes time, and a text with so many errors is not read further.
    if (errors_.size() >= kMostErrors) return;
    const size_t end = tokens_.OffsetOf(tokens_.last_end());
    for (size_t i = tokens_.OffsetOf(begin); i < end; ++i) {
      // A tab keeps its place too, because it counts as up to eight columns.
      if (rest_[i] != '\n' && rest_[i] != '\t') rest_[i] = ' ';
    }
  }

  // Removes the errors that the tokenizer found inside the current number, because TakeScalar()
  // explains them better.
  void DropErrorsInNumber() {
    const TextPlace at = tokens_.place();
    const int first = at.column + 1;
    const int last = first + static_cast<int>(tokens_.WrittenNumber().size());
    std::erase_if(errors_, [&](const TextError& error) {
      return error.line == at.line + 1 && error.column > first && error.column <= last;
    });
  }

  // Skips the value of an unknown field, including everything inside its braces.
  void SkipField() {
    if (!tokens_.Take(":")) tokens_.Take("=");
    if (!AtClosing()) SkipValue();
    TakeSeparator();
  }

  // A field may end with a comma or a semicolon.
  void TakeSeparator() {
    if (!tokens_.Take(",")) tokens_.Take(";");
  }

  // Skips a value of any kind: everything inside its brackets, or the tokens up to the next space.
  void SkipValue() {
    int open = 0;
    do {
      if (tokens_.AtEnd()) return;
      if (AtBracket()) {
        ++open;
      } else if (AtClosing()) {
        --open;
      }
      const Tokenizer::Token last = tokens_.current();
      tokens_.Next();
      const Tokenizer::Token& now = tokens_.current();
      if (open == 0 && (now.line != last.line || now.column != last.end_column || tokens_.Is(",") ||
                        tokens_.Is(";") || AtClosing())) {
        return;
      }
    } while (true);
  }

  // Declared before tokens_, whose constructor may already report an error.
  std::vector<TextError> errors_;
  Tokens tokens_;
  std::string rest_;
  // Whether the message that was just read lacks its closing bracket.
  bool unclosed_ = false;
};

}  // namespace

std::vector<TextError> FindTextErrors(const std::string& text, const Descriptor* type,
                                      std::string* rest) {
  Reader reader(text);
  std::vector<TextError> errors = reader.Read(type);
  if (rest != nullptr) *rest = reader.rest();
  return errors;
}

}  // namespace finetune
