#include "src/config/reference.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/base/shortest_number.h"
#include "src/config/experiment.pb.h"
#include "src/config/experiment_descriptor.h"
#include "src/config/field_path.h"

namespace finetune {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::DescriptorPool;
using ::google::protobuf::EnumDescriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::FileDescriptorSet;
using ::google::protobuf::Message;
using ::google::protobuf::MessageFactory;
using ::google::protobuf::SourceLocation;
using ::google::protobuf::TextFormat;

constexpr size_t kColumns = 100;

// Breaks text into lines of at most kColumns columns, each indented by `indent` spaces.
std::string Wrapped(absl::string_view text, size_t indent) {
  std::string wrapped;
  std::string line(indent, ' ');
  const auto add = [&](absl::string_view word) {
    if (line.size() > indent && line.size() + 1 + word.size() > kColumns) {
      absl::StrAppend(&wrapped, line, "\n");
      line.assign(indent, ' ');
    }
    absl::StrAppend(&line, line.size() > indent ? " " : "", word);
  };
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    // The list of an enum's values may be longer than a line.
    while (indent + word.size() > kColumns) {
      const size_t bar = word.rfind('|', kColumns - indent - 1);
      if (bar == absl::string_view::npos) break;
      add(word.substr(0, bar + 1));
      word.remove_prefix(bar + 1);
    }
    add(word);
  }
  return line.size() > indent ? absl::StrCat(wrapped, line, "\n") : wrapped;
}

// Returns the comment at a declaration of experiment.proto as one paragraph.
template <typename Declaration>
std::string CommentOf(const Declaration& declaration) {
  SourceLocation location;
  if (!declaration.GetSourceLocation(&location)) return "";
  std::string text = absl::StrCat(location.leading_comments, " ", location.trailing_comments);
  std::replace(text.begin(), text.end(), '\n', ' ');
  return std::string(absl::StripAsciiWhitespace(text));
}

std::vector<std::string> NamesOf(const EnumDescriptor& type) {
  std::vector<std::string> names;
  names.reserve(type.value_count());
  for (int i = 0; i < type.value_count(); ++i) names.push_back(type.value(i)->name());
  return names;
}

std::string TypeOf(const FieldDescriptor& field) {
  std::string type;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      type = "true|false";
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      type = "number";
      break;
    case FieldDescriptor::CPPTYPE_STRING:
      type = "text";
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      type = absl::StrJoin(NamesOf(*field.enum_type()), "|");
      break;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      type = field.message_type()->name();
      break;
    default:
      type = "whole number";
  }
  return field.is_repeated() ? absl::StrCat("list of ", type) : type;
}

// Returns " (default 0.9)"; "" where the field has no default.
std::string DefaultOf(const FieldDescriptor& field) {
  if (!field.has_default_value()) return "";
  const auto shown = [](const std::string& text) { return absl::StrCat(" (default ", text, ")"); };
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
    return shown(ShortestNumber(field.default_value_double()));
  }
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
    return shown(ShortestNumber(field.default_value_float()));
  }
  // Text format can print only a field of a message. A message in which nothing is set has the
  // defaults.
  const FieldDescriptor* const generated =
      DescriptorPool::generated_pool()->FindFieldByName(field.full_name());
  const Message* const unset =
      MessageFactory::generated_factory()->GetPrototype(generated->containing_type());
  std::string text;
  TextFormat::PrintFieldValueToString(*unset, generated, -1, &text);
  return shown(text);
}

// Returns the values of the field's enum that have a comment, each with its comment.
std::string ValuesOf(const FieldDescriptor& field, size_t indent) {
  std::string text;
  if (field.enum_type() == nullptr) return text;
  for (int i = 0; i < field.enum_type()->value_count(); ++i) {
    const std::string comment = CommentOf(*field.enum_type()->value(i));
    if (comment.empty()) continue;
    absl::StrAppend(
        &text, Wrapped(absl::StrCat(field.enum_type()->value(i)->name(), ": ", comment), indent));
  }
  return text;
}

// Returns the other members of the field's oneof: ", instead of adamw".
std::string OthersOf(const FieldDescriptor& field) {
  const auto* const oneof = field.real_containing_oneof();
  if (oneof == nullptr) return "";
  std::vector<std::string> others;
  for (int i = 0; i < oneof->field_count(); ++i) {
    if (oneof->field(i) != &field) others.push_back(oneof->field(i)->name());
  }
  return others.empty() ? "" : absl::StrCat(", instead of ", absl::StrJoin(others, ", "));
}

std::string FieldsOf(const Descriptor& type) {
  std::string text;
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    absl::StrAppend(
        &text,
        Wrapped(absl::StrCat(field.name(), ": ", TypeOf(field), DefaultOf(field), OthersOf(field)),
                2),
        Wrapped(CommentOf(field), 6), ValuesOf(field, 6));
  }
  return text;
}

// experiment.proto with its comments, which the generated classes do not carry.
class Reference {
 public:
  Reference() {
    FileDescriptorSet files;
    // The build makes this descriptor and the generated classes from the same file, so parsing
    // should not fail.
    if (!files.ParseFromArray(kExperimentDescriptor, static_cast<int>(kExperimentDescriptorSize))) {
      return;
    }
    for (const auto& file : files.file()) pool_.BuildFile(file);
  }

  // Returns the descriptor of the same message in pool_, which has the comments.
  const Descriptor* Find(const Descriptor& type) const {
    const Descriptor* const found = pool_.FindMessageTypeByName(type.full_name());
    return found == nullptr ? &type : found;
  }

 private:
  DescriptorPool pool_;
};

void CollectFields(const Descriptor& type, const std::string& prefix,
                   std::vector<ValueField>* fields) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const std::string path = prefix + field.name();
    if (field.message_type() != nullptr) {
      CollectFields(*field.message_type(), absl::StrCat(path, field.is_repeated() ? "[0]." : "."),
                    fields);
      continue;
    }
    std::vector<std::string> values;
    if (!field.is_repeated() && field.enum_type() != nullptr) values = NamesOf(*field.enum_type());
    if (!field.is_repeated() && field.type() == FieldDescriptor::TYPE_BOOL) {
      values = {"true", "false"};
    }
    fields->push_back({path, std::move(values)});
  }
}

}  // namespace

absl::StatusOr<std::string> DescribeField(absl::string_view path) {
  const Reference reference;
  const Descriptor* type = ExperimentConfig::descriptor();
  const FieldDescriptor* field = nullptr;
  if (!path.empty()) {
    FT_ASSIGN_OR_RETURN(const auto steps, ResolvePath(std::string(path)));
    field = steps.back().field;
    type = field->message_type();
    field = reference.Find(*field->containing_type())->FindFieldByName(field->name());
  }
  std::string text;
  if (field != nullptr) {
    text = absl::StrCat(
        Wrapped(absl::StrCat(path, ": ", TypeOf(*field), DefaultOf(*field), OthersOf(*field)), 0),
        Wrapped(CommentOf(*field), 2), ValuesOf(*field, 2));
  }
  if (type == nullptr) return text;
  const Descriptor& message = *reference.Find(*type);
  return absl::StrCat(text, Wrapped(CommentOf(message), 2), "\n", FieldsOf(message));
}

std::vector<ValueField> ValueFields() {
  std::vector<ValueField> fields;
  CollectFields(*ExperimentConfig::descriptor(), "", &fields);
  // These two can be set in a file only, not by --set.
  std::erase_if(fields, [](const ValueField& field) {
    return field.path == "import" || field.path == "reset";
  });
  return fields;
}

}  // namespace finetune
