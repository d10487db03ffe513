#include "src/config/diff.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/hide_secrets.h"

namespace finetune {
namespace {

using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::TextFormat;
using ::google::protobuf::util::MessageDifferencer;

// Returns the text of a field, or of element `index` of a list; for -1 that of the whole field.
std::string TextOf(const Message& message, const FieldDescriptor* field, int index) {
  TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  printer.SetUseUtf8StringEscaping(true);
  const auto element = [&](int i) {
    std::string text;
    printer.PrintFieldValueToString(message, field, i, &text);
    text = HideSecrets(text);
    return field->message_type() == nullptr ? text : absl::StrCat("{ ", text, "}");
  };
  if (!field->is_repeated()) return element(-1);
  if (index >= 0) return element(index);
  std::vector<std::string> elements;
  const int size = message.GetReflection()->FieldSize(message, field);
  elements.reserve(size);
  for (int i = 0; i < size; ++i) elements.push_back(element(i));
  return absl::StrCat("[", absl::StrJoin(elements, ", "), "]");
}

// Returns one config's side of a difference: the value and place of `field` in `message`, or of its
// element `index`, which may be past the end of the list.
DiffSide SideOf(const LoadedConfig& loaded, const std::string& path, const Message& message,
                const FieldDescriptor* field, int index) {
  const auto* const reflection = message.GetReflection();
  const bool set = !field->is_repeated() ? reflection->HasField(message, field)
                   : index < 0           ? reflection->FieldSize(message, field) > 0
                                         : index < reflection->FieldSize(message, field);
  if (set) return {TextOf(message, field, index), loaded.PlaceOf(path)};
  // The field is a list that was written as [].
  if (loaded.origins.contains(path)) return {"[]", loaded.PlaceOf(path)};
  if (field->is_repeated() || !field->has_default_value()) return {"not set", ""};
  return {absl::StrCat("not set, so ", TextOf(message, field, -1)), ""};
}

// Collects the differences that MessageDifferencer finds.
class Collector : public MessageDifferencer::Reporter {
 public:
  using Fields = std::vector<MessageDifferencer::SpecificField>;

  Collector(const LoadedConfig& left, const LoadedConfig& right) : left_(left), right_(right) {}

  void ReportAdded(const Message& left, const Message& right, const Fields& fields) override {
    Add(left, right, fields);
  }
  void ReportDeleted(const Message& left, const Message& right, const Fields& fields) override {
    Add(left, right, fields);
  }
  void ReportModified(const Message& left, const Message& right, const Fields& fields) override {
    // MessageDifferencer reports a message after the fields in which it differs. Only the fields
    // are kept.
    if (fields.back().field->message_type() == nullptr) Add(left, right, fields);
  }

  std::vector<FieldDiff> Take() { return std::move(diffs_); }

 private:
  // `left`, `right`: the messages that hold the field, which is the last one of `fields`.
  void Add(const Message& left, const Message& right, const Fields& fields) {
    std::string path;
    for (size_t i = 0; i + 1 < fields.size(); ++i) {
      const FieldDescriptor* outer = fields[i].field;
      absl::StrAppend(&path, outer->name(),
                      outer->is_repeated() ? absl::StrCat("[", fields[i].index, "]") : "", ".");
    }
    const FieldDescriptor* field = fields.back().field;
    int index = -1;
    absl::StrAppend(&path, field->name());
    if (field->is_repeated() && field->message_type() != nullptr) {
      index = fields.back().index;
      absl::StrAppend(&path, "[", index, "]");
    }
    // A list of scalars is one difference here, but MessageDifferencer reports each of its
    // elements.
    if (!diffs_.empty() && diffs_.back().path == path) return;
    if (path == "name" && !left_.origins.contains(path) && !right_.origins.contains(path)) return;
    // One side sets the field to its default and the other does not set it, so they are equal.
    if (field->has_default_value() && !field->is_repeated() &&
        TextOf(left, field, -1) == TextOf(right, field, -1)) {
      return;
    }
    FieldDiff diff = {path, SideOf(left_, path, left, field, index),
                      SideOf(right_, path, right, field, index)};
    // URLs that differ in their secrets alone are equal: a written config has no secrets.
    if (diff.left.value == diff.right.value && absl::StrContains(diff.left.value, kHiddenSecret)) {
      return;
    }
    diffs_.push_back(std::move(diff));
  }

  const LoadedConfig& left_;
  const LoadedConfig& right_;
  std::vector<FieldDiff> diffs_;
};

}  // namespace

std::vector<FieldDiff> DiffConfigs(const LoadedConfig& left, const LoadedConfig& right) {
  Collector collector(left, right);
  MessageDifferencer differencer;
  differencer.ReportDifferencesTo(&collector);
  differencer.Compare(left.config, right.config);
  return collector.Take();
}

std::string FormatDiff(const std::vector<FieldDiff>& diffs) {
  std::string text;
  for (const FieldDiff& diff : diffs) {
    size_t width = std::max(diff.left.value.size(), diff.right.value.size());
    // Places are in a column, unless a value is longer than 40 characters. Then each place directly
    // follows its value.
    if (width > 40) width = 0;
    absl::StrAppend(&text, diff.path, "\n");
    for (const auto& [sign, side] : {std::pair{"-", diff.left}, std::pair{"+", diff.right}}) {
      std::string value = side.value;
      if (value.size() < width && !side.place.empty()) value.resize(width, ' ');
      absl::StrAppend(&text, "  ", sign, " ", value,
                      side.place.empty() ? "" : absl::StrCat("  # ", side.place), "\n");
    }
  }
  return text;
}

}  // namespace finetune
