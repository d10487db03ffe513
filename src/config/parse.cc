#include "src/config/parse.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include "absl/strings/str_cat.h"

namespace finetune {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::TextFormat;

// Adds to `origins` the places of all fields that are set in `message`. `tree`: the parser's places
// for `message`. `file`: the place to copy, whose line and column are filled in.
void CollectOrigins(const Message& message, const TextFormat::ParseInfoTree* tree,
                    const std::string& path, const Place& file, Origins* origins) {
  if (tree == nullptr) return;
  const auto at = [&](const TextFormat::ParseLocation& location) {
    Place place = file;
    place.line = location.line + 1;
    place.column = location.column + 1;
    return place;
  };
  const Descriptor* type = message.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (!field->is_repeated() || message.GetReflection()->FieldSize(message, field) > 0) continue;
    const TextFormat::ParseLocation location = tree->GetLocation(field, 0);
    if (location.line >= 0) (*origins)[JoinPath(path, field->name())] = at(location);
  }
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string field_path = JoinPath(path, field->name());
    const int count = field->is_repeated() ? message.GetReflection()->FieldSize(message, field) : 1;
    Place place = file;
    for (int i = 0; i < count; ++i) {
      const int index = field->is_repeated() ? i : -1;
      const TextFormat::ParseLocation location = tree->GetLocation(field, index);
      // For a list in brackets, [1, 2, 3], the parser records only the place of the first element.
      if (location.line >= 0) place = at(location);
      if (i == 0) (*origins)[field_path] = place;
      std::string element = field_path;
      if (field->is_repeated()) {
        element = absl::StrCat(field_path, "[", i, "]");
        (*origins)[element] = place;
      }
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        const Message& child = field->is_repeated()
                                   ? message.GetReflection()->GetRepeatedMessage(message, field, i)
                                   : message.GetReflection()->GetMessage(message, field);
        CollectOrigins(child, tree->GetTreeForNested(field, index), element, file, origins);
      }
    }
  }
}

// Parses the text, without adding to `message`, and adds the places of its values to `origins`.
// Returns whether the parser accepts the text. `error`: set to its first error if not.
bool Parse(const std::string& text, const std::string& path, const Place& file, Message* message,
           Origins* origins, TextError* error) {
  class FirstError : public google::protobuf::io::ErrorCollector {
   public:
    explicit FirstError(TextError* error) : error_(error) {}
    void AddError(int line, google::protobuf::io::ColumnNumber column,
                  const std::string& message) override {
      if (error_->what.empty()) *error_ = {line + 1, column + 1, "", message};
    }

   private:
    TextError* error_;
  };
  FirstError first(error);
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&first);
  TextFormat::ParseInfoTree tree;
  parser.WriteLocationsTo(&tree);
  const bool parsed = parser.ParseFromString(text, message);
  CollectOrigins(*message, &tree, path, file, origins);
  return parsed;
}

}  // namespace

ParsedText ParseText(const std::string& text, const std::string& path, const Place& file,
                     Message* message, Origins* origins) {
  ParsedText result;
  Origins places;
  TextError first;
  const bool parsed = Parse(text, path, file, message, &places, &first);
  // FindTextErrors() also finds numbers that the parser accepts but reads as octal: 010 as 8.
  std::string rest;
  result.errors = FindTextErrors(text, message->GetDescriptor(), &rest);
  if (!result.errors.empty()) {
    places.clear();
    TextError ignored;  // one of those that FindTextErrors() has found
    result.understood = Parse(rest, path, file, message, &places, &ignored);
  } else if (!parsed) {
    result.errors.push_back(first);
    result.understood = false;
  }
  origins->merge(places);
  return result;
}

std::string ToString(const TextError& error) {
  return error.field.empty() ? error.what : absl::StrCat(error.field, ": ", error.what);
}

}  // namespace finetune
