#include "src/config/text_errors.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/utf8.h"
#include "src/config/fields.h"

namespace finetune {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::EnumDescriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::OneofDescriptor;
using ::google::protobuf::io::Tokenizer;

// Nobody reads more at once; a file in another language has one on every line.
constexpr size_t kMostErrors = 20;
constexpr int kMaxDepth = 64;

struct At {
  int line = 0, column = 0;  // from 0, as the tokenizer counts
};

std::string ToString(At at) { return absl::StrCat(at.line + 1, ":", at.column + 1); }

// Reads a text as protobuf's parser does, but goes on after what is wrong.
class Reader : private google::protobuf::io::ErrorCollector {
 public:
  // `text` must outlive this.
  explicit Reader(const std::string& text)
      : text_(text), input_(text.data(), static_cast<int>(text.size())), tokens_(&input_, this) {
    // As TextFormat::Parser has them.
    tokens_.set_allow_f_after_float(true);
    tokens_.set_comment_style(Tokenizer::SH_COMMENT_STYLE);
    tokens_.Next();
  }

  std::vector<TextError> Read(const Descriptor* type) {
    while (true) {
      ReadFields(type, /*end=*/"", 0);
      if (AtEnd()) break;
      Add(Here(), "", absl::StrCat("this ", Shown(), " closes nothing"));
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

  void Add(At at, const std::string& field, std::string what) {
    // One thing wrong with one place.
    for (const TextError& error : errors_) {
      if (error.line == at.line + 1 && error.column == at.column + 1) return;
    }
    if (errors_.size() < kMostErrors) {
      errors_.push_back({at.line + 1, at.column + 1, field, std::move(what)});
    }
  }

  bool AtEnd() { return tokens_.current().type == Tokenizer::TYPE_END; }
  bool Is(absl::string_view symbol) { return tokens_.current().text == symbol; }
  bool Is(Tokenizer::TokenType type) { return tokens_.current().type == type; }
  At Here() { return {tokens_.current().line, tokens_.current().column}; }
  bool Take(absl::string_view symbol) {
    if (!Is(symbol)) return false;
    tokens_.Next();
    return true;
  }
  // For a message: one line, not long.
  std::string Shown() {
    if (AtEnd()) return "nothing";
    const std::string& text = tokens_.current().text;
    const bool plain = std::none_of(text.begin(), text.end(), absl::ascii_iscntrl);
    const std::string shown = plain ? text : absl::CHexEscape(text);
    const absl::string_view start = Utf8Start(shown, 60);
    return absl::StrCat(start, start.size() < shown.size() ? "..." : "");
  }
  bool AtBracket() { return Is("{") || Is("<") || Is("["); }
  bool AtClosing() { return AtEnd() || Is("}") || Is(">") || Is("]"); }

  // The fields of a message, past `end` ("}" or ">"); for the outermost, where `end` is empty, up
  // to what no field can begin with.
  void ReadFields(const Descriptor* type, const std::string& end, int depth) {
    std::map<const FieldDescriptor*, At> seen;
    std::map<const OneofDescriptor*, const FieldDescriptor*> chosen;
    while (!AtClosing()) {
      if (!Is(Tokenizer::TYPE_IDENTIFIER)) {
        Add(Here(), "", absl::StrCat("expected a field's name, got ", Shown()));
        SkipValue();
        continue;
      }
      const At at = Here();
      std::string name = tokens_.current().text;
      tokens_.Next();
      if (Is(".")) {
        while (Take(".")) {
          absl::StrAppend(&name, ".", tokens_.current().text);
          tokens_.Next();
        }
        Add(at, name, "a file nests its fields in braces: a { b: 1 }; paths are for --set");
        SkipField();
        continue;
      }
      const FieldDescriptor* field = type->FindFieldByName(name);
      if (field == nullptr) {
        Add(at, name,
            absl::StrCat("no such field in ", type->name(), "; ", SuggestField(type, name)));
        SkipField();
        continue;
      }
      CheckOnce(field, at, &seen, &chosen);
      ReadField(field, depth);
      TakeSeparator();
    }
    if (end.empty() || Take(end)) return;
    // Whoever began the message says so.
    unclosed_ = true;
  }

  void CheckOnce(const FieldDescriptor* field, At at, std::map<const FieldDescriptor*, At>* seen,
                 std::map<const OneofDescriptor*, const FieldDescriptor*>* chosen) {
    const auto [first, is_new] = seen->emplace(field, at);
    if (!is_new && !field->is_repeated()) {
      Add(at, field->name(),
          absl::StrCat("is given twice, first at ", ToString(first->second), "; put ",
                       field->message_type() != nullptr ? "its fields together" : "one of them"));
      return;
    }
    const OneofDescriptor* oneof = field->real_containing_oneof();
    if (oneof == nullptr) return;
    const FieldDescriptor* other = chosen->emplace(oneof, field).first->second;
    if (other != field) {
      Add(at, field->name(),
          absl::StrCat("and ", other->name(), " (", ToString(seen->at(other)),
                       ") exclude each other; leave one out"));
    }
  }

  // What follows a field's name.
  void ReadField(const FieldDescriptor* field, int depth) {
    const bool is_message = field->message_type() != nullptr;
    if (Is("=")) {
      Add(Here(), field->name(),
          is_message ? "expected {, got =" : "expected : before its value, got =");
      tokens_.Next();
      if (!AtClosing()) SkipValue();
      return;
    }
    if (!Take(":") && !is_message) {
      Add(Here(), field->name(), absl::StrCat("expected : before its value, got ", Shown()));
      // Another field follows, or its value.
      if (!AtClosing() && !Is(Tokenizer::TYPE_IDENTIFIER)) SkipValue();
      return;
    }
    if (!Is("[")) return ReadValue(field, depth);
    if (!field->is_repeated()) {
      Add(Here(), field->name(),
          absl::StrCat("takes one ", is_message ? "message" : "value", ", no list"));
      return SkipValue();
    }
    const At bracket = Here();
    tokens_.Next();
    while (!AtClosing()) {
      ReadValue(field, depth);
      if (Is("]")) break;
      if (Take(",")) continue;
      return Add(bracket, field->name(), "its [ is not closed");
    }
    if (!Take("]")) Add(bracket, field->name(), "its [ is not closed");
  }

  void ReadValue(const FieldDescriptor* field, int depth) {
    if (field->message_type() == nullptr) return ReadScalar(field);
    const At at = Here();
    const std::string end = Is("{") ? "}" : ">";
    if (!Is("{") && !Is("<")) {
      Add(at, field->name(), absl::StrCat("is a message: expected {, got ", Shown()));
      if (!AtClosing()) SkipValue();
      return;
    }
    if (depth >= kMaxDepth) {
      Add(at, field->name(), "is nested too deep");
      return SkipValue();
    }
    tokens_.Next();
    ReadFields(field->message_type(), end, depth + 1);
    if (std::exchange(unclosed_, false)) {
      Add(at, field->name(), absl::StrCat("its ", end == "}" ? "{" : "<", " is not closed"));
    }
  }

  void ReadScalar(const FieldDescriptor* field) {
    const At at = Here();
    const std::string wrong = WrongWithScalar(field);
    if (wrong.empty()) return;
    Add(at, field->name(), wrong);
    if (!AtClosing()) SkipValue();
  }

  // Takes a value that is right; else says what is wrong with it and stays.
  std::string WrongWithScalar(const FieldDescriptor* field) {
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return WrongWithInteger(uint64_t{1} << 31, std::numeric_limits<int32_t>::max());
      case FieldDescriptor::CPPTYPE_INT64:
        return WrongWithInteger(uint64_t{1} << 63, std::numeric_limits<int64_t>::max());
      case FieldDescriptor::CPPTYPE_UINT32:
        return WrongWithInteger(0, std::numeric_limits<uint32_t>::max());
      case FieldDescriptor::CPPTYPE_UINT64:
        return WrongWithInteger(0, std::numeric_limits<uint64_t>::max());
      case FieldDescriptor::CPPTYPE_DOUBLE:
      case FieldDescriptor::CPPTYPE_FLOAT:
        return WrongWithNumber();
      case FieldDescriptor::CPPTYPE_BOOL:
        if (std::string wrong = WrongWithDigits("", "true or false"); !wrong.empty()) return wrong;
        for (const char* value : {"true", "True", "t", "1", "false", "False", "f", "0"}) {
          if (Take(value)) return "";
        }
        return absl::StrCat("expected true or false, got ", Shown());
      case FieldDescriptor::CPPTYPE_ENUM:
        return WrongWithEnum(field->enum_type());
      case FieldDescriptor::CPPTYPE_STRING:
        if (!Is(Tokenizer::TYPE_STRING)) {
          return absl::StrCat("expected text in quotes, got ", Shown());
        }
        while (Is(Tokenizer::TYPE_STRING)) tokens_.Next();
        return "";
      case FieldDescriptor::CPPTYPE_MESSAGE:
        break;
    }
    return "";
  }

  // The number at hand as it is written. The tokenizer ends it where it cannot go on: it takes 01.5
  // for 01 and .5, and finds fault inside, which the reader's own words replace.
  std::string TakeNumber() {
    const Tokenizer::Token& token = tokens_.current();
    size_t begin = 0;
    for (int line = 0; line < token.line; ++line) begin = text_.find('\n', begin) + 1;
    // As the tokenizer counts columns.
    for (int column = 0; column < token.column; ++begin) {
      column += text_[begin] == '\t' ? 8 - column % 8 : 1;
    }
    const auto goes_on = [&](size_t at) {
      const char c = text_[at];
      if (c != '+' && c != '-') return absl::ascii_isalnum(c) || c == '.';
      return at > begin && (text_[at - 1] == 'e' || text_[at - 1] == 'E');
    };
    size_t end = begin;
    while (end < text_.size() && goes_on(end)) ++end;
    const int first = token.column + 1, last = first + static_cast<int>(end - begin);
    std::erase_if(errors_, [&](const TextError& error) {
      return error.line == token.line + 1 && error.column > first && error.column <= last;
    });
    return text_.substr(begin, end - begin);
  }

  // Returns the error in a number, or "". A leading 0 is an error: protobuf's parser would read an
  // octal number, and nobody who writes 010 means 8. Hexadecimal (0x1F) is not an error, because
  // nobody writes it by accident. `expected`: "a whole number".
  std::string WrongWithDigits(absl::string_view sign, absl::string_view expected) {
    const std::string& text = tokens_.current().text;
    if (text.size() < 2 || text[0] != '0' || !absl::ascii_isdigit(text[1])) return "";
    const std::string written = TakeNumber();
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

  // `low`: how far below 0.
  std::string WrongWithInteger(uint64_t low, uint64_t high) {
    const bool negative = Take("-");
    if (!Is(Tokenizer::TYPE_INTEGER)) {
      return absl::StrCat("expected a whole number, got ", negative ? "-" : "", Shown());
    }
    if (std::string wrong = WrongWithDigits(negative ? "-" : "", "a whole number");
        !wrong.empty()) {
      return wrong;
    }
    uint64_t value = 0;
    const std::string& text = tokens_.current().text;
    if (!Tokenizer::ParseInteger(text, std::numeric_limits<uint64_t>::max(), &value) ||
        value > (negative ? low : high)) {
      return absl::StrCat("is ", negative ? "-" : "", text, "; expected ",
                          low > 0    ? absl::StrCat("-", low, " to ", high)
                          : negative ? "0 or more"
                                     : absl::StrCat("0 to ", high));
    }
    tokens_.Next();
    return "";
  }

  std::string WrongWithNumber() {
    const absl::string_view sign = Take("-") ? "-" : "";
    if (std::string wrong = WrongWithDigits(sign, "a number"); !wrong.empty()) return wrong;
    const std::string text = absl::AsciiStrToLower(tokens_.current().text);
    if (absl::StartsWith(text, "0x")) {
      return absl::StrCat("is ", sign, TakeNumber(), "; expected a decimal number");
    }
    if (!Is(Tokenizer::TYPE_INTEGER) && !Is(Tokenizer::TYPE_FLOAT) && text != "inf" &&
        text != "infinity" && text != "nan") {
      return absl::StrCat("expected a number, got ", sign, Shown());
    }
    tokens_.Next();
    return "";
  }

  std::string WrongWithEnum(const EnumDescriptor* type) {
    const std::string& text = tokens_.current().text;
    if (std::string wrong = WrongWithDigits("", "a value's name"); !wrong.empty()) return wrong;
    uint64_t number = 0;
    const bool known = Is(Tokenizer::TYPE_IDENTIFIER)
                           ? type->FindValueByName(text) != nullptr
                           : Is(Tokenizer::TYPE_INTEGER) &&
                                 Tokenizer::ParseInteger(text, 1 << 30, &number) &&
                                 type->FindValueByNumber(static_cast<int>(number)) != nullptr;
    if (!known) return absl::StrCat("no such value ", Shown(), "; ", SuggestEnumValue(type, text));
    tokens_.Next();
    return "";
  }

  // A field that is not known: its value, or all in its braces.
  void SkipField() {
    if (!Take(":")) Take("=");
    if (!AtClosing()) SkipValue();
    TakeSeparator();
  }

  // A field may end in one.
  void TakeSeparator() {
    if (!Take(",")) Take(";");
  }

  // A value of any kind: all in its brackets, or as much as stands together without a space.
  void SkipValue() {
    int open = 0;
    do {
      if (AtEnd()) return;
      if (AtBracket()) {
        ++open;
      } else if (AtClosing()) {
        --open;
      }
      const Tokenizer::Token last = tokens_.current();
      tokens_.Next();
      const Tokenizer::Token& now = tokens_.current();
      if (open == 0 && (now.line != last.line || now.column != last.end_column || Is(",") ||
                        Is(";") || AtClosing())) {
        return;
      }
    } while (true);
  }

  const std::string& text_;
  google::protobuf::io::ArrayInputStream input_;
  Tokenizer tokens_;
  std::vector<TextError> errors_;
  // The message just read ends without its bracket.
  bool unclosed_ = false;
};

}  // namespace

std::vector<TextError> FindTextErrors(const std::string& text, const Descriptor* type) {
  return Reader(text).Read(type);
}

}  // namespace finetune
