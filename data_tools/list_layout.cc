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

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
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

// Reads a text file, without the byte order mark that programs on Windows put before UTF-8. Errors:
// InvalidArgument for a file that is not text, or is UTF-16; those of ReadFile().
absl::StatusOr<std::string> ReadText(const std::string& file) {
  FT_ASSIGN_OR_RETURN(std::string text, ReadFile(file));
  if (absl::StrContains(text, '\0')) {
    return Bad(file,
               "found a zero byte; expected text in UTF-8 (another encoding, such as UTF-16, "
               "must be converted first)");
  }
  return std::string(absl::StripPrefix(text, "\xEF\xBB\xBF"));
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
  size_t count = 0;  // the number of all columns
};

absl::StatusOr<Columns> FindColumns(const std::string& where,
                                    const std::vector<std::string>& names) {
  Columns columns;
  columns.count = names.size();
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
  FT_ASSIGN_OR_RETURN(const std::string text, ReadText(file));
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
    if (cells->size() > columns->count) {
      return Bad(where,
                 absl::StrCat("has ", cells->size(), " cells; expected at most ", columns->count,
                              ", as the first line has columns (a comma within a cell needs "
                              "double quotes around the cell)"));
    }
    const auto cell = [&](int column) {
      return column < 0 || column >= static_cast<int>(cells->size())
                 ? std::string()
                 : std::string(absl::StripAsciiWhitespace((*cells)[column]));
    };
    Row row{{where, cell(columns->path), cell(columns->label)}, cell(columns->split)};
    const char* empty = row.path.empty()                           ? "path"
                        : row.label.empty()                        ? "label"
                        : columns->split >= 0 && row.split.empty() ? "split"
                                                                   : nullptr;
    if (empty != nullptr) return Bad(where, absl::StrCat("the ", empty, " is empty"));
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
  FT_ASSIGN_OR_RETURN(const std::string text, ReadText(file));
  std::vector<std::string> names;
  std::map<std::string, int> line_of;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty()) continue;
    const auto [at, is_new] = line_of.emplace(line, number);
    if (!is_new) {
      return Bad(absl::StrCat(file, ":", number),
                 absl::StrCat("names class ", line, ", as line ", at->second, " does"));
    }
    names.emplace_back(line);
  }
  if (names.empty()) return Bad(file, "names no classes; expected one a line");
  return names;
}

// Checks the images that lists name, one after the other.
class ListedImages {
 public:
  // `split` and `row` must outlive this object. `label`: the number of the image's class. Errors:
  // InvalidArgument if a list names the image with another label too.
  absl::Status Add(absl::string_view split, const LabelledFile& row, int label,
                   const std::vector<std::string>& class_names) {
    const auto [at, is_new] = seen_.try_emplace(row.path, Seen{split, &row, label});
    if (is_new) return absl::OkStatus();
    if (at->second.label != label) {
      return Bad(row.where, absl::StrCat(row.path, " has the label ", class_names[label], "; ",
                                         at->second.row->where, " gives it ",
                                         class_names[at->second.label], "; expected one class"));
    }
    if (at->second.split == split && repeats_++ == 0) first_repeat_ = row.where;
    return absl::OkStatus();
  }

  void Report(const Warn& warn) const {
    if (repeats_ == 0 || !warn) return;
    warn(absl::StrCat(repeats_, repeats_ == 1 ? " line names an image" : " lines name images",
                      " that an earlier line names too, the first ", first_repeat_,
                      "; such an image is stored once for each line"));
  }

 private:
  struct Seen {
    absl::string_view split;
    const LabelledFile* row;
    int label;
  };
  absl::flat_hash_map<absl::string_view, Seen> seen_;  // by path
  int64_t repeats_ = 0;
  std::string first_repeat_;
};

// Warns of classes without images in the training split. Errors: InvalidArgument if another split
// has an image of such a class. `numbered`: whether the labels are numbers.
absl::Status CheckClassesAreTrained(const ImageSource& source, bool numbered, const Warn& warn) {
  const std::vector<int64_t> trained = source.TrainingCounts();
  for (size_t s = 1; s < source.splits.size(); ++s) {
    for (const SourceImage& image : source.splits[s].images) {
      if (trained[image.label] > 0) continue;
      return Bad(image.listed, absl::StrCat("class ", source.class_names[image.label],
                                            " is held out but has no training images"));
    }
  }
  const auto missing = std::count(trained.begin(), trained.end(), 0);
  if (missing == 0 || !warn) return absl::OkStatus();
  const size_t first = std::find(trained.begin(), trained.end(), 0) - trained.begin();
  warn(absl::StrCat(missing, " of ", trained.size(),
                    missing == 1 ? " classes has" : " classes have",
                    " no training images, the first ", source.class_names[first],
                    numbered ? "; labels count from 0" : ""));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ImageSource> NumberLabels(const LabelledSplits& splits, const std::string& classes,
                                         const Warn& warn) {
  ImageSource source;
  bool numbers = true;
  int64_t count = 0, number_count = 0;
  const LabelledFile* first_name = nullptr;
  int most = -1;
  std::set<std::string> labels;
  for (const auto& [name, list] : splits) {
    for (const LabelledFile& row : list) {
      const std::optional<int> number = AsNumber(row.label);
      numbers = numbers && number.has_value();
      ++count;
      if (number.has_value()) {
        ++number_count;
      } else if (first_name == nullptr) {
        first_name = &row;
      }
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
  if (classes.empty() && !numbers && number_count > 0 && warn) {
    warn(absl::StrCat(first_name->where, ": label is \"", first_name->label,
                      "\", which is not a number from 0; ", number_count, " of ", count,
                      " labels are. So all labels are taken for names of classes"));
  }
  std::map<std::string, int> number_of;
  for (size_t i = 0; i < source.class_names.size(); ++i) {
    number_of.emplace(source.class_names[i], static_cast<int>(i));
  }

  ListedImages listed;
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
      FT_RETURN_IF_ERROR(listed.Add(name, row, label, source.class_names));
      split.images.push_back({row.path, label, "", row.where});
    }
    // Sort the images by class, as they are if they come from folders.
    std::stable_sort(split.images.begin(), split.images.end(),
                     [](const SourceImage& a, const SourceImage& b) {
                       return std::tie(a.label, a.path) < std::tie(b.label, b.path);
                     });
  }
  listed.Report(warn);
  FT_RETURN_IF_ERROR(CheckClassesAreTrained(source, numbers, warn));
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
  for (const auto& [name, list] : splits) {
    if (splits.size() > 1 && !list.front().split.empty()) {
      return Bad(list.front().where,
                 "has a column split, and --val names another list; expected one or the other");
    }
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
  return NumberLabels(labelled, files.classes, warn);
}

}  // namespace finetune
