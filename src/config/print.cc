#include "src/config/print.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/fnv.h"
#include "src/base/hide_secrets.h"
#include "src/base/shortest_number.h"
#include "src/config/overlay.h"

namespace finetune {
namespace {

using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::TextFormat;

// Returns the text of a field's value; of element `index` where that is not -1. Numbers have as few
// digits as they need, where protobuf prints 2 / 3 as 0.66666666666666663.
std::string ValueText(const TextFormat::Printer& printer, const Message& message,
                      const FieldDescriptor* field, int index) {
  const auto& reflection = *message.GetReflection();
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
    return ShortestNumber(index < 0 ? reflection.GetDouble(message, field)
                                    : reflection.GetRepeatedDouble(message, field, index));
  }
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
    return ShortestNumber(index < 0 ? reflection.GetFloat(message, field)
                                    : reflection.GetRepeatedFloat(message, field, index));
  }
  std::string text;
  printer.PrintFieldValueToString(message, field, index, &text);
  return text;
}

// Adds to `values` the text of each scalar and each list in `message`, by path.
void CollectValues(const Message& message, const std::string& path, const Origins& origins,
                   std::map<std::string, std::string>* values) {
  const TextFormat::Printer plain;
  for (const FieldDescriptor* field : WrittenFields(message, path, origins)) {
    const std::string field_path = JoinPath(path, field->name());
    if (field->is_repeated()) {
      std::vector<std::string> parts;
      for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
        parts.push_back(ValueText(plain, message, field, i));
      }
      (*values)[field_path] = absl::StrCat("[", absl::StrJoin(parts, ", "), "]");
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      CollectValues(message.GetReflection()->GetMessage(message, field), field_path, origins,
                    values);
    } else {
      (*values)[field_path] = ValueText(plain, message, field, -1);
    }
  }
}

// Writes a config as text format.
class Printer {
 public:
  Printer(const Origins& origins, bool with_origins)
      : origins_(origins), with_origins_(with_origins) {
    values_.SetUseUtf8StringEscaping(true);
  }

  void Print(const Message& message, const std::string& path, int indent, std::string* out) const {
    const std::string margin(static_cast<size_t>(indent) * 2, ' ');
    for (const FieldDescriptor* field : WrittenFields(message, path, origins_)) {
      const std::string field_path = JoinPath(path, field->name());
      const int count =
          field->is_repeated() ? message.GetReflection()->FieldSize(message, field) : 1;
      if (count == 0) {
        absl::StrAppend(out, margin, field->name(), ": []", Comment(field_path), "\n");
      }
      for (int i = 0; i < count; ++i) {
        const std::string element =
            field->is_repeated() ? absl::StrCat(field_path, "[", i, "]") : field_path;
        if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
          const Message& child =
              field->is_repeated() ? message.GetReflection()->GetRepeatedMessage(message, field, i)
                                   : message.GetReflection()->GetMessage(message, field);
          std::string inner;
          Print(child, element, indent + 1, &inner);
          if (inner.empty()) {
            absl::StrAppend(out, margin, field->name(), " {}", Comment(element), "\n");
          } else {
            absl::StrAppend(out, margin, field->name(), " {\n", inner, margin, "}\n");
          }
        } else {
          const std::string value = PrintedValue(message, field, field->is_repeated() ? i : -1);
          absl::StrAppend(out, margin, field->name(), ": ", value, Comment(element), "\n");
        }
      }
    }
  }

 private:
  // Returns ValueText(), without the secrets of URLs.
  std::string PrintedValue(const Message& message, const FieldDescriptor* field, int index) const {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      const auto& reflection = *message.GetReflection();
      const std::string raw = index < 0 ? reflection.GetString(message, field)
                                        : reflection.GetRepeatedString(message, field, index);
      const std::string hidden = HideSecrets(HideSecretsOfUrl(raw));
      if (hidden != raw) return absl::StrCat("\"", absl::Utf8SafeCEscape(hidden), "\"");
    }
    return ValueText(values_, message, field, index);
  }

  // Returns the place of the value at `path` as a comment; "" without origins.
  std::string Comment(const std::string& path) const {
    const auto it = origins_.find(path);
    if (!with_origins_ || it == origins_.end()) return "";
    const Place& place = it->second;
    const std::string file = OneLine(place.file);
    return place.line == 0 ? absl::StrCat("  # ", file)
                           : absl::StrCat("  # ", file, ":", place.line);
  }

  const Origins& origins_;
  const bool with_origins_;
  TextFormat::Printer values_;
};

}  // namespace

std::string PrintConfig(const LoadedConfig& loaded, bool with_origins) {
  std::string out;
  Printer(loaded.origins, with_origins).Print(loaded.config, "", 0, &out);
  return out;
}

uint64_t ConfigHash(const ExperimentConfig& config) {
  // Hashes the printed form, because protobuf prints fields in a fixed order but does not guarantee
  // the order of its binary form.
  std::string text;
  TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  printer.PrintToString(config, &text);
  return Fnv1a(text);
}

std::map<std::string, std::string> ConfigValues(const ExperimentConfig& config,
                                                const Origins& origins) {
  std::map<std::string, std::string> values;
  CollectValues(config, "", origins, &values);
  return values;
}

}  // namespace finetune
