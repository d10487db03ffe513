#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "data_tools/image_source.h"
#include "src/base/atomic_file.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

struct Row : LabelledFile {
  std::string split;
};

absl::Status Bad(const std::string& where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

// Splits a line of a CSV file at its commas, except commas in double quotes (RFC 4180). Returns
// nullopt if a quote does not end on the line.
std::optional<std::vector<std::string>> SplitCsv(absl::string_view line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      cells.back() += '"';
      ++i;
    } else if (c == '"' && (quoted || cells.back().empty())) {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      cells.emplace_back();
    } else {
      cells.back() += c;
    }
  }
  if (quoted) return std::nullopt;
  return cells;
}

// The positions of the columns in a CSV file, from 0. -1: the file has no such column.
struct Columns {
  int path = -1, label = -1, split = -1;
};

absl::StatusOr<Columns> FindColumns(const std::string& where,
                                    const std::vector<std::string>& names) {
  Columns columns;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(names[i]));
    const auto is = [&](std::initializer_list<absl::string_view> any) {
      return std::find(any.begin(), any.end(), name) != any.end();
    };
    int* column = nullptr;
    if (is({"path", "file", "filename", "file_name", "image", "img_path"})) column = &columns.path;
    if (is({"label", "class", "category", "gt_label"})) column = &columns.label;
    if (is({"split", "set", "subset"})) column = &columns.split;
    if (column == nullptr) continue;
    if (*column >= 0)
      return Bad(where, absl::StrCat("names a column of the same meaning twice: ", name));
    *column = static_cast<int>(i);
  }
  if (columns.path >= 0 && columns.label >= 0) return columns;
  return Bad(where,
             absl::StrCat("the first line names the columns ", absl::StrJoin(names, ", "),
                          "; expected path (or file, filename, image), label (or class) and, "
                          "where there are several, split"));
}

absl::StatusOr<std::vector<Row>> ReadRows(const std::string& file) {
  FT_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  const bool csv = absl::EndsWithIgnoreCase(file, ".csv");
  std::vector<Row> rows;
  std::optional<Columns> columns;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::string where = absl::StrCat(file, ":", ++number);
    line = absl::StripTrailingAsciiWhitespace(line);
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    if (!csv) {
      // The label is the last word. The path before it may contain spaces.
      const size_t at = line.find_last_of(" \t");
      const absl::string_view path =
          at == absl::string_view::npos ? "" : absl::StripAsciiWhitespace(line.substr(0, at));
      if (path.empty())
        return Bad(where, absl::StrCat("found \"", line, "\"; expected a path and a label"));
      rows.push_back({{where, std::string(path), std::string(line.substr(at + 1))}, ""});
      continue;
    }
    const std::optional<std::vector<std::string>> cells = SplitCsv(line);
    if (!cells.has_value()) return Bad(where, "a double quote does not end on its line");
    if (!columns.has_value()) {
      FT_ASSIGN_OR_RETURN(columns, FindColumns(where, *cells));
      continue;
    }
    const auto cell = [&](int column) {
      return column < 0 || column >= static_cast<int>(cells->size())
                 ? std::string()
                 : std::string(absl::StripAsciiWhitespace((*cells)[column]));
    };
    Row row{{where, cell(columns->path), cell(columns->label)}, cell(columns->split)};
    if (row.path.empty() || row.label.empty() || (columns->split >= 0 && row.split.empty())) {
      return Bad(where, "a column is empty");
    }
    rows.push_back(std::move(row));
  }
  if (rows.empty()) return Bad(file, "lists no images");
  return rows;
}

// Returns the label as a class number, or nullopt if it is not a number from 0 to kMostClasses - 1.
std::optional<int> AsNumber(absl::string_view label) {
  int number = 0;
  const auto [end, error] = std::from_chars(label.data(), label.data() + label.size(), number);
  constexpr int kMostClasses = 1 << 20;
  if (error != std::errc() || end != label.data() + label.size() || number < 0 ||
      number >= kMostClasses) {
    return std::nullopt;
  }
  return number;
}

absl::StatusOr<std::vector<std::string>> ReadClassNames(const std::string& file) {
  FT_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  std::vector<std::string> names;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!line.empty()) names.emplace_back(line);
  }
  if (names.empty()) return Bad(file, "names no classes; expected one a line");
  return names;
}

}  // namespace

absl::StatusOr<ImageSource> NumberLabels(const LabelledSplits& splits, const std::string& classes) {
  ImageSource source;
  bool numbers = true;
  int most = -1;
  std::set<std::string> labels;
  for (const auto& [name, list] : splits) {
    for (const LabelledFile& row : list) {
      const std::optional<int> number = AsNumber(row.label);
      numbers = numbers && number.has_value();
      most = std::max(most, number.value_or(-1));
      labels.insert(row.label);
    }
  }
  if (!classes.empty()) {
    FT_ASSIGN_OR_RETURN(source.class_names, ReadClassNames(classes));
  } else if (numbers) {
    for (int i = 0; i <= most; ++i) source.class_names.push_back(absl::StrCat(i));
  } else {
    source.class_names.assign(labels.begin(), labels.end());
  }
  std::map<std::string, int> number_of;
  for (size_t i = 0; i < source.class_names.size(); ++i) {
    number_of.emplace(source.class_names[i], static_cast<int>(i));
  }

  for (const auto& [name, list] : splits) {
    SourceSplit& split = source.splits.emplace_back();
    split.name = name;
    for (const LabelledFile& row : list) {
      int label = 0;
      if (const auto at = number_of.find(row.label); at != number_of.end()) {
        label = at->second;
      } else if (numbers && *AsNumber(row.label) < static_cast<int>(source.class_names.size())) {
        label = *AsNumber(row.label);
      } else {
        return Bad(row.where, absl::StrCat("label is \"", row.label, "\"; expected one of the ",
                                           source.class_names.size(),
                                           classes.empty() ? " classes"
                                                           : absl::StrCat(" classes of ", classes),
                                           numbers ? ", counted from 0" : ""));
      }
      split.images.push_back({row.path, label, ""});
    }
    // Sort the images by class, as they are if they come from folders.
    std::stable_sort(split.images.begin(), split.images.end(),
                     [](const SourceImage& a, const SourceImage& b) {
                       return std::tie(a.label, a.path) < std::tie(b.label, b.path);
                     });
  }
  return source;
}

absl::StatusOr<ImageSource> ListFileLayout(const ListFiles& files, const Warn& warn) {
  std::vector<std::pair<std::string, std::vector<Row>>> splits;
  FT_ASSIGN_OR_RETURN(std::vector<Row> rows, ReadRows(files.train));
  splits.emplace_back("train", std::move(rows));
  if (!files.val.empty()) {
    FT_ASSIGN_OR_RETURN(rows, ReadRows(files.val));
    splits.emplace_back("test", std::move(rows));
  }
  // If the only list has a column "split", divide it into splits by this column.
  if (splits.size() == 1 && !splits[0].second.front().split.empty()) {
    std::map<std::string, std::vector<Row>> by_name;
    for (Row& row : splits[0].second) {
      std::string name = absl::AsciiStrToLower(row.split);
      if (name == "valid" || name == "validation") name = "val";
      if (name != "train" && name != "val" && name != "test") {
        return Bad(row.where,
                   absl::StrCat("split is \"", row.split, "\"; expected train, val or test"));
      }
      by_name[name].push_back(std::move(row));
    }
    splits.clear();
    for (const char* name : {"train", "val", "test"}) {
      if (by_name.contains(name)) splits.emplace_back(name, std::move(by_name[name]));
    }
    if (splits[0].first != "train") return Bad(files.train, "no image is of split train");
    if (splits.size() == 2) splits[1].first = "test";
  }

  const fs::path root =
      files.root.empty() ? fs::path(files.train).parent_path() : fs::path(files.root);
  LabelledSplits labelled;
  for (const auto& [name, list] : splits) {
    std::vector<LabelledFile>& images =
        labelled.emplace_back(name, std::vector<LabelledFile>()).second;
    for (const Row& row : list) {
      images.push_back({row.where, (root / row.path).string(), row.label});
    }
  }
  return NumberLabels(labelled, files.classes);
}

}  // namespace finetune
