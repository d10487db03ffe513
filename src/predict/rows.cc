#include "src/predict/rows.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "src/base/utf8.h"
#include "src/observe/csv_field.h"

namespace finetune {
namespace {

// The widths of a path and of a class name in the table, in characters.
constexpr size_t kPathColumns = 44, kNameColumns = 18;

// Returns `text` as a JSON string in quotes. Bytes that are not UTF-8 are replaced.
std::string JsonString(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', /*ensure_ascii=*/false,
                                   nlohmann::json::error_handler_t::replace);
}

std::string JsonLine(const PredictionRow& row) {
  std::string line = absl::StrCat("{\"path\":", JsonString(row.path));
  if (!row.error.empty()) {
    return absl::StrCat(line, ",\"error\":", JsonString(row.error), "}\n");
  }
  line += ",\"guesses\":[";
  const char* separator = "";
  for (const PredictionRow::Guess& guess : row.guesses) {
    absl::StrAppend(&line, separator, "{\"class\":", JsonString(guess.name),
                    ",\"label\":", guess.label,
                    ",\"probability\":", absl::StrFormat("%.9g", guess.probability), "}");
    separator = ",";
  }
  return line + "]}\n";
}

std::string CsvLine(const PredictionRow& row, int64_t guesses) {
  std::string line = absl::StrCat(CsvField(row.path), ",", CsvField(row.error));
  for (int64_t i = 0; i < guesses; ++i) {
    if (static_cast<size_t>(i) < row.guesses.size()) {
      absl::StrAppend(&line, ",", CsvField(row.guesses[i].name), ",",
                      absl::StrFormat("%.9g", row.guesses[i].probability));
    } else {
      line += ",,";
    }
  }
  return line + "\n";
}

// Returns the last part of a text that is longer than `most` bytes, after an ellipsis and without
// cutting a character. The end of a path tells more than its beginning.
std::string Tail(const std::string& text, size_t most) {
  const std::string valid = ValidUtf8(text);
  if (valid.size() <= most) return valid;
  size_t begin = valid.size() - most + 1;
  while (begin < valid.size() && (static_cast<unsigned char>(valid[begin]) & 0xC0) == 0x80) ++begin;
  return absl::StrCat("…", valid.substr(begin));
}

std::string TableLine(const PredictionRow& row) {
  std::string path = Tail(row.path, kPathColumns);
  // The ellipsis has three bytes but is one character wide.
  const size_t columns = path.size() - (path.compare(0, 3, "…") == 0 ? 2 : 0);
  path.append(kPathColumns - std::min(columns, kPathColumns), ' ');
  if (!row.error.empty()) return absl::StrCat(path, "  ", row.error, "\n");
  for (const PredictionRow::Guess& guess : row.guesses) {
    absl::StrAppendFormat(&path, "  %s %.1f %%", Utf8Start(ValidUtf8(guess.name), kNameColumns),
                          100 * guess.probability);
  }
  return path + "\n";
}

}  // namespace

absl::StatusOr<RowFormat> ParseRowFormat(const std::string& name) {
  if (name == "jsonl") return RowFormat::kJsonLines;
  if (name == "csv") return RowFormat::kCsv;
  if (name == "table") return RowFormat::kTable;
  return absl::InvalidArgumentError(absl::StrCat("found ", name, "; expected jsonl, csv or table"));
}

std::string HeaderLine(RowFormat format, int64_t guesses) {
  if (format != RowFormat::kCsv) return "";
  std::string line = "path,error";
  for (int64_t i = 1; i <= guesses; ++i) absl::StrAppend(&line, ",class", i, ",probability", i);
  return line + "\n";
}

std::string ToLine(const PredictionRow& row, RowFormat format, int64_t guesses) {
  switch (format) {
    case RowFormat::kJsonLines:
      return JsonLine(row);
    case RowFormat::kCsv:
      return CsvLine(row, guesses);
    case RowFormat::kTable:
      return TableLine(row);
  }
  return "";
}

}  // namespace finetune
