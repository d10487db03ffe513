#include "src/config/config.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/fnv.h"
#include "src/base/nearest_name.h"
#include "src/config/field_error.h"
#include "src/config/fields.h"
#include "src/config/text_errors.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::Reflection;
using ::google::protobuf::TextFormat;

// A config is a page of text; anything larger is some other file.
constexpr size_t kMaxConfigBytes = 1 << 20;
constexpr size_t kMaxImportDepth = 32;

using Origins = std::map<std::string, Place>;

// What one file or one --set says: values, and the place of each.
struct Layer {
  ExperimentConfig values;
  Origins origins;
};

std::string Join(const std::string& path, absl::string_view name) {
  return path.empty() ? std::string(name) : absl::StrCat(path, ".", name);
}

// A text for a line of a message or a comment: line ends and other control characters are escaped.
std::string OneLine(absl::string_view text) {
  std::string line;
  for (const char c : text) {
    absl::StrAppend(&line, absl::ascii_iscntrl(static_cast<unsigned char>(c))
                               ? absl::CEscape(absl::string_view(&c, 1))
                               : std::string(1, c));
  }
  return line;
}

bool IsInside(absl::string_view path, absl::string_view ancestor) {
  return absl::StartsWith(path, ancestor) &&
         (path.size() == ancestor.size() || path[ancestor.size()] == '.' ||
          path[ancestor.size()] == '[');
}

void EraseOrigins(const std::string& path, Origins* origins) {
  for (auto it = origins->lower_bound(path);
       it != origins->end() && absl::StartsWith(it->first, path);) {
    it = IsInside(it->first, path) ? origins->erase(it) : std::next(it);
  }
}

void CopyOrigins(const std::string& path, const Origins& from, Origins* to) {
  for (auto it = from.lower_bound(path); it != from.end() && absl::StartsWith(it->first, path);
       ++it) {
    if (IsInside(it->first, path)) (*to)[it->first] = it->second;
  }
}

// Drops the member of field's oneof that `to` has set, if it is another one.
void ClearOtherMember(const FieldDescriptor* field, const std::string& path, Message* to,
                      Origins* origins) {
  const auto* oneof = field->real_containing_oneof();
  if (oneof == nullptr) return;
  const FieldDescriptor* now = to->GetReflection()->GetOneofFieldDescriptor(*to, oneof);
  if (now == nullptr || now == field) return;
  to->GetReflection()->ClearField(to, now);
  EraseOrigins(Join(path, now->name()), origins);
}

void CopyScalar(const Message& from, const FieldDescriptor* field, Message* to) {
  const Reflection* in = from.GetReflection();
  const Reflection* out = to->GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return out->SetInt32(to, field, in->GetInt32(from, field));
    case FieldDescriptor::CPPTYPE_INT64:
      return out->SetInt64(to, field, in->GetInt64(from, field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return out->SetUInt32(to, field, in->GetUInt32(from, field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return out->SetUInt64(to, field, in->GetUInt64(from, field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return out->SetDouble(to, field, in->GetDouble(from, field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return out->SetFloat(to, field, in->GetFloat(from, field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return out->SetBool(to, field, in->GetBool(from, field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return out->SetEnum(to, field, in->GetEnum(from, field));
    case FieldDescriptor::CPPTYPE_STRING:
      return out->SetString(to, field, in->GetString(from, field));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return out->MutableMessage(to, field)->CopyFrom(in->GetMessage(from, field));
  }
}

void CopyRepeated(const Message& from, const FieldDescriptor* field, Message* to) {
  // Through a message that holds nothing else: reflection has no copy of one repeated field.
  std::unique_ptr<Message> only(from.New());
  only->CopyFrom(from);
  std::vector<const FieldDescriptor*> set;
  only->GetReflection()->ListFields(*only, &set);
  for (const FieldDescriptor* other : set) {
    if (other != field) only->GetReflection()->ClearField(only.get(), other);
  }
  to->GetReflection()->ClearField(to, field);
  to->MergeFrom(*only);
}

// The fields of `message` that are set, in the order of their numbers. A list that is empty is
// among them where it was written as such ("topk: []"): protobuf keeps no trace of it, its origin
// does.
std::vector<const FieldDescriptor*> WrittenFields(const Message& message, const std::string& path,
                                                  const Origins& origins) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  const Descriptor* type = message.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->is_repeated() && message.GetReflection()->FieldSize(message, field) == 0 &&
        origins.contains(Join(path, field->name()))) {
      fields.push_back(field);
    }
  }
  std::sort(fields.begin(), fields.end(),
            [](const auto* a, const auto* b) { return a->number() < b->number(); });
  return fields;
}

// Lays `from` over `to`: messages field by field, scalars and whole lists replaced, another member
// of a oneof drops the one that was there.
void Merge(const Message& from, const Origins& from_origins, const std::string& path, Message* to,
           Origins* to_origins) {
  for (const FieldDescriptor* field : WrittenFields(from, path, from_origins)) {
    const std::string field_path = Join(path, field->name());
    ClearOtherMember(field, path, to, to_origins);
    if (field->is_repeated()) {
      EraseOrigins(field_path, to_origins);
      CopyRepeated(from, field, to);
      CopyOrigins(field_path, from_origins, to_origins);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (auto it = from_origins.find(field_path); it != from_origins.end()) {
        (*to_origins)[field_path] = it->second;
      }
      Merge(from.GetReflection()->GetMessage(from, field), from_origins, field_path,
            to->GetReflection()->MutableMessage(to, field), to_origins);
    } else {
      CopyScalar(from, field, to);
      CopyOrigins(field_path, from_origins, to_origins);
    }
  }
}

// The text of each scalar and each whole list, by path.
void CollectValues(const Message& message, const std::string& path, const Origins& origins,
                   std::map<std::string, std::string>* values) {
  for (const FieldDescriptor* field : WrittenFields(message, path, origins)) {
    const std::string field_path = Join(path, field->name());
    if (field->is_repeated()) {
      std::vector<std::string> parts;
      for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
        parts.emplace_back();
        TextFormat::PrintFieldValueToString(message, field, i, &parts.back());
      }
      (*values)[field_path] = absl::StrCat("[", absl::StrJoin(parts, ", "), "]");
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      CollectValues(message.GetReflection()->GetMessage(message, field), field_path, origins,
                    values);
    } else {
      TextFormat::PrintFieldValueToString(message, field, -1, &(*values)[field_path]);
    }
  }
}

// The places of all that `message`, of which the parser made `tree`, has set.
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
    if (location.line >= 0) (*origins)[Join(path, field->name())] = at(location);
  }
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string field_path = Join(path, field->name());
    const int count = field->is_repeated() ? message.GetReflection()->FieldSize(message, field) : 1;
    Place place = file;
    for (int i = 0; i < count; ++i) {
      const int index = field->is_repeated() ? i : -1;
      const TextFormat::ParseLocation location = tree->GetLocation(field, index);
      // The parser has one place for all of [1, 2, 3]: its first element's.
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

// Parses text into a message of any type of ours. Returns what is wrong with it, all at once.
std::vector<TextError> ParseText(const std::string& text, Message* message,
                                 TextFormat::ParseInfoTree* tree) {
  // The first of the parser's own errors.
  class FirstError : public google::protobuf::io::ErrorCollector {
   public:
    void AddError(int line, google::protobuf::io::ColumnNumber column,
                  const std::string& message) override {
      if (error.what.empty()) error = {line + 1, column + 1, "", message};
    }
    TextError error;
  };
  FirstError first;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&first);
  parser.WriteLocationsTo(tree);
  const bool parsed = parser.ParseFromString(text, message);
  // Also finds what the parser takes and should not: 010 as 8.
  std::vector<TextError> errors = FindTextErrors(text, message->GetDescriptor());
  if (errors.empty() && !parsed) errors.push_back(first.error);
  return errors;
}

// "field: what is wrong".
std::string Describe(const TextError& error) {
  return error.field.empty() ? error.what : absl::StrCat(error.field, ": ", error.what);
}

// A text that may begin with the byte order mark that some editors write.
absl::StatusOr<std::string> ReadConfig(const std::string& file) {
  absl::StatusOr<std::string> text = ReadFile(file, kMaxConfigBytes);
  // Whatever is wrong with a config's file is wrong with what was asked for.
  if (!text.ok()) return absl::InvalidArgumentError(text.status().message());
  if (absl::StrContains(*text, '\0')) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": is no text; expected a config (.pbtxt)"));
  }
  return std::string(absl::StripPrefix(*text, "\xef\xbb\xbf"));
}

// Follows "a.b[2].c" through the schema. Names what is wrong with a path of somebody's making.
absl::StatusOr<std::vector<std::pair<const FieldDescriptor*, int>>> ResolvePath(
    const std::string& path) {
  std::vector<std::pair<const FieldDescriptor*, int>> steps;
  const Descriptor* type = ExperimentConfig::descriptor();
  std::string walked;
  for (absl::string_view part : absl::StrSplit(path, '.')) {
    int index = -1;
    const absl::string_view whole = part;
    if (absl::ConsumeSuffix(&part, "]")) {
      const size_t bracket = part.rfind('[');
      // Not 01 or +1, which SimpleAtoi takes.
      if (bracket == absl::string_view::npos ||
          !absl::SimpleAtoi(part.substr(bracket + 1), &index) || index < 0 ||
          absl::StrCat(index) != part.substr(bracket + 1)) {
        return absl::InvalidArgumentError(absl::StrCat(whole, ": an index is [0], [1], ..."));
      }
      part = part.substr(0, bracket);
    }
    if (type == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(walked, ": is a single value and has no field ", part));
    }
    if (part.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", path, "\" is no path; one is optimizer.sgd.lr"));
    }
    const FieldDescriptor* field = type->FindFieldByName(std::string(part));
    if (field == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(Join(walked, part), ": no such field in ",
                                                     type->name(), "; ", SuggestField(type, part)));
    }
    walked = Join(walked, whole);
    if (index >= 0 && !field->is_repeated()) {
      return absl::InvalidArgumentError(absl::StrCat(walked, ": ", part, " is no list"));
    }
    steps.emplace_back(field, index);
    type = field->message_type();
  }
  return steps;
}

class Loader {
 public:
  explicit Loader(const LoadOptions& options) : options_(options) {}

  absl::StatusOr<std::string> Find(const std::string& name, const std::string& first_folder) const {
    std::vector<std::string> tried;
    std::vector<std::string> folders = {first_folder};
    folders.insert(folders.end(), options_.search_path.begin(), options_.search_path.end());
    for (const std::string& folder : folders) {
      const fs::path path =
          fs::path(name).is_absolute() || folder.empty() ? fs::path(name) : fs::path(folder) / name;
      std::error_code error;
      const fs::file_status status = fs::status(path, error);
      if (fs::is_regular_file(status)) return path.lexically_normal().string();
      tried.push_back(path.lexically_normal().string());
      if (fs::is_directory(status)) {
        tried.back() += " (a folder)";
      } else if (fs::exists(status)) {
        tried.back() += " (no regular file)";
      }
      if (fs::path(name).is_absolute()) break;
    }
    std::vector<std::string> near;
    for (const std::string& folder : folders) {
      std::error_code error;
      const fs::path parent = (fs::path(folder.empty() ? "." : folder) / name).parent_path();
      for (const auto& entry : fs::directory_iterator(parent, error)) {
        if (entry.path().extension() == ".pbtxt") near.push_back(entry.path().filename().string());
      }
    }
    const std::string suggestion = NearestName(fs::path(name).filename().string(), near);
    return absl::NotFoundError(
        absl::StrCat("no config ", name, "; looked for ", absl::StrJoin(tried, ", "),
                     suggestion.empty() ? "" : absl::StrCat("; did you mean ", suggestion, "?"),
                     "; folders to look in: --config_path or FINETUNE_CONFIG_PATH"));
  }

  // `chain`: the files that led here, from the user's.
  absl::StatusOr<Layer> Load(const std::string& file, const std::vector<std::string>& chain) {
    std::vector<std::string> here = chain;
    here.push_back(file);
    FT_ASSIGN_OR_RETURN(const std::string text, ReadConfig(file));
    Layer own;
    TextFormat::ParseInfoTree tree;
    std::vector<std::string> errors;
    for (const TextError& error : ParseText(text, &own.values, &tree)) {
      errors.push_back(
          absl::StrCat(file, ":", error.line, ":", error.column, ": ", Describe(error)));
    }
    // What is wrong with the imports is said as well.
    const bool readable = errors.empty();
    Place place;
    place.file = file;
    place.imported_by = chain;
    CollectOrigins(own.values, &tree, "", place, &own.origins);

    Layer merged;
    for (int i = 0; i < own.values.import_size(); ++i) {
      const std::string at = own.origins[absl::StrCat("import[", i, "]")].ToString();
      const std::string& name = own.values.import(i);
      absl::StatusOr<std::string> found = Find(name, fs::path(file).parent_path().string());
      if (!found.ok()) {
        errors.push_back(absl::StrCat(at, ": import: ", found.status().message()));
        continue;
      }
      if (std::any_of(here.begin(), here.end(), [&](const std::string& one) {
            std::error_code error;
            return fs::equivalent(one, *found, error);
          })) {
        errors.push_back(
            absl::StrCat(at, ": import: a cycle: ", absl::StrJoin(here, " -> "), " -> ", *found));
        continue;
      }
      if (here.size() > kMaxImportDepth) {
        errors.push_back(absl::StrCat(at, ": import: more than ", kMaxImportDepth, " deep"));
        continue;
      }
      absl::StatusOr<Layer> layer = Load(*found, here);
      if (!layer.ok()) {
        errors.push_back(std::string(layer.status().message()));
        continue;
      }
      if (!readable) continue;
      FindConflicts(merged, *layer, own, &errors);
      Merge(layer->values, layer->origins, "", &merged.values, &merged.origins);
    }
    for (int i = 0; readable && i < own.values.reset_size(); ++i) {
      const absl::Status reset = Reset(own.values.reset(i), &merged);
      if (!reset.ok()) {
        errors.push_back(absl::StrCat(own.origins[absl::StrCat("reset[", i, "]")].ToString(),
                                      ": reset: ", reset.message()));
      }
    }
    if (!errors.empty()) return absl::InvalidArgumentError(absl::StrJoin(errors, "\n"));
    own.values.clear_import();
    own.values.clear_reset();
    EraseOrigins("import", &own.origins);
    EraseOrigins("reset", &own.origins);
    Merge(own.values, own.origins, "", &merged.values, &merged.origins);
    return merged;
  }

  static absl::Status Override(const std::string& text, Layer* layer) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos) {
      return absl::InvalidArgumentError("expected PATH=VALUE, as in --set=optimizer.sgd.lr=0.02");
    }
    const std::string path = text.substr(0, equals);
    std::string value = text.substr(equals + 1);
    if (path == "import" || path == "reset") {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": only a file can have it; write one that imports this one"));
    }
    FT_ASSIGN_OR_RETURN(auto steps, ResolvePath(path));
    Place place;
    place.file = absl::StrCat("--set=", OneLine(text));

    Message* message = &layer->values;
    std::string walked;
    for (size_t i = 0; i + 1 < steps.size(); ++i) {
      const auto [field, index] = steps[i];
      ClearOtherMember(field, walked, message, &layer->origins);
      walked = Join(walked, field->name());
      if (!field->is_repeated()) {
        layer->origins.try_emplace(walked, place);
        message = message->GetReflection()->MutableMessage(message, field);
        continue;
      }
      const int size = message->GetReflection()->FieldSize(*message, field);
      if (index < 0 || index >= size) {
        const std::string elements = absl::StrCat(
            walked, "[0]", size == 1 ? "" : absl::StrCat(" to ", walked, "[", size - 1, "]"));
        return absl::InvalidArgumentError(
            size == 0   ? absl::StrCat(walked, ": is an empty list; set it as a whole")
            : index < 0 ? absl::StrCat(walked, ": is a list; give one of ", elements)
                        : absl::StrCat(walked, "[", index, "]: the list has ", size, " element",
                                       size == 1 ? "" : "s", ", ", elements));
      }
      walked = absl::StrCat(walked, "[", index, "]");
      message = message->GetReflection()->MutableRepeatedMessage(message, field, index);
    }
    const auto [field, index] = steps.back();
    if (index >= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": set the whole list, as in ", field->name(),
                       field->message_type() != nullptr ? "=[{...}, {...}]" : "=[1, 2]"));
    }
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING && !field->is_repeated() &&
        !absl::StartsWith(value, "\"") && !absl::StartsWith(value, "'")) {
      value = absl::StrCat("\"", absl::CEscape(value), "\"");
    }
    const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (is_message && !absl::StartsWith(value, "{") && !absl::StartsWith(value, "[")) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": is a message; set a field of it, or give it whole in braces: ", path, "={...}"));
    }
    std::unique_ptr<Message> part(message->New());
    TextFormat::ParseInfoTree tree;
    std::vector<std::string> errors;
    for (const TextError& error :
         ParseText(absl::StrCat(field->name(), ": ", value), part.get(), &tree)) {
      errors.push_back(error.field == field->name() ? error.what : Describe(error));
    }
    if (!errors.empty() && field->is_repeated() && absl::StrContains(value, ',') &&
        !absl::StartsWith(value, "[")) {
      errors = {absl::StrCat("a list is written in brackets: ", path, "=[", value, "]")};
    }
    if (!errors.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": ", absl::StrJoin(errors, "; ")));
    }
    Origins origins;
    CollectOrigins(*part, &tree, walked, place, &origins);
    for (auto& [unused, origin] : origins) origin = place;
    Merge(*part, origins, walked, message, &layer->origins);
    return absl::OkStatus();
  }

 private:
  // Scalars that two siblings set to different values, where the importing file does not settle
  // them itself.
  static void FindConflicts(const Layer& before, const Layer& next, const Layer& own,
                            std::vector<std::string>* errors) {
    std::map<std::string, std::string> old_values, new_values;
    CollectValues(before.values, "", before.origins, &old_values);
    CollectValues(next.values, "", next.origins, &new_values);
    for (const auto& [path, value] : new_values) {
      const auto old = old_values.find(path);
      if (old == old_values.end() || old->second == value) continue;
      if (own.origins.contains(path)) continue;
      if (std::any_of(own.values.reset().begin(), own.values.reset().end(),
                      [&, p = path](const std::string& reset) { return IsInside(p, reset); })) {
        continue;
      }
      const Place& first = before.origins.at(path);
      const Place& second = next.origins.at(path);
      if (first.file == second.file && first.line == second.line) continue;
      errors->push_back(absl::StrCat(
          second.ToString(), ": ", path, ": is ", value, " here and ", old->second, " in ",
          first.ToString(), ", both imported by the same file; set it there, or reset it"));
    }
  }

  static absl::Status Reset(const std::string& path, Layer* layer) {
    FT_ASSIGN_OR_RETURN(auto steps, ResolvePath(path));
    Message* message = &layer->values;
    for (size_t i = 0; i < steps.size(); ++i) {
      const auto [field, index] = steps[i];
      if (index >= 0 || (field->is_repeated() && i + 1 < steps.size())) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": a list is reset as a whole: ", field->name()));
      }
      const bool set = field->is_repeated()
                           ? message->GetReflection()->FieldSize(*message, field) > 0 ||
                                 layer->origins.contains(path)
                           : message->GetReflection()->HasField(*message, field);
      if (!set) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": nothing to drop: no import sets it"));
      }
      if (i + 1 == steps.size()) {
        message->GetReflection()->ClearField(message, field);
      } else {
        message = message->GetReflection()->MutableMessage(message, field);
      }
    }
    EraseOrigins(path, &layer->origins);
    return absl::OkStatus();
  }

  const LoadOptions& options_;
};

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
      const std::string field_path = Join(path, field->name());
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
          std::string value;
          values_.PrintFieldValueToString(message, field, field->is_repeated() ? i : -1, &value);
          absl::StrAppend(out, margin, field->name(), ": ", value, Comment(element), "\n");
        }
      }
    }
  }

 private:
  // The place of what is at `path`, as a comment.
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

std::string Place::ToString() const {
  return line == 0 ? file : absl::StrCat(file, ":", line, ":", column);
}

std::string LoadedConfig::PlaceOf(const std::string& path) const {
  std::string at = path;
  while (true) {
    if (const auto it = origins.find(at); it != origins.end()) return it->second.ToString();
    const size_t cut = at.find_last_of(".[");
    if (cut == std::string::npos) return file;
    at.resize(cut);
  }
}

absl::Status LoadedConfig::WithPlace(const absl::Status& status) const {
  const std::string field = FieldOf(status);
  if (field.empty()) return status;
  // Without the payload: an error gets its place once.
  return absl::Status(status.code(), absl::StrCat(PlaceOf(field), ": ", status.message()));
}

absl::StatusOr<LoadedConfig> LoadConfig(const std::string& file, const LoadOptions& options) {
  Loader loader(options);
  FT_ASSIGN_OR_RETURN(std::string found, loader.Find(file, ""));
  FT_ASSIGN_OR_RETURN(Layer layer, loader.Load(found, {}));
  std::vector<std::string> errors;
  for (const std::string& text : options.overrides) {
    const absl::Status status = Loader::Override(text, &layer);
    if (!status.ok()) {
      errors.push_back(absl::StrCat("--set=", OneLine(text), ": ", status.message()));
    }
  }
  if (!errors.empty()) return absl::InvalidArgumentError(absl::StrJoin(errors, "\n"));
  LoadedConfig loaded;
  loaded.config = std::move(layer.values);
  loaded.origins = std::move(layer.origins);
  loaded.file = found;
  if (!loaded.config.has_name()) loaded.config.set_name(fs::path(found).stem().string());
  return loaded;
}

std::string PrintConfig(const LoadedConfig& loaded, bool with_origins) {
  std::string out;
  Printer(loaded.origins, with_origins).Print(loaded.config, "", 0, &out);
  return out;
}

std::vector<std::string> ConfigSearchPath(const std::vector<std::string>& from_flags) {
  std::vector<std::string> folders = from_flags;
  if (const char* variable = std::getenv("FINETUNE_CONFIG_PATH"); variable != nullptr) {
    for (absl::string_view folder : absl::StrSplit(variable, ':', absl::SkipEmpty())) {
      folders.emplace_back(folder);
    }
  }
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path installed = program.parent_path().parent_path() / "share/finetune/configs";
  if (fs::is_directory(installed, error)) folders.push_back(installed.string());
  // A program run from its build has them in its runfiles, as links to the source tree.
  const fs::path in_tree =
      program.string() + ".runfiles/finetune/configs/_base_/default_runtime.pbtxt";
  if (const fs::path file = fs::canonical(in_tree, error); !error) {
    folders.push_back(file.parent_path().parent_path().string());
  }
  return folders;
}

uint64_t ConfigHash(const ExperimentConfig& config) {
  // Hashes the printed form: protobuf prints fields in order, and its binary form promises none.
  std::string text;
  TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  printer.PrintToString(config, &text);
  return Fnv1a(text);
}

std::map<std::string, std::string> ConfigValues(const ExperimentConfig& config) {
  std::map<std::string, std::string> values;
  CollectValues(config, "", /*origins=*/{}, &values);
  return values;
}

}  // namespace finetune
