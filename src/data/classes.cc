#include "src/data/classes.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/utf8.h"

namespace finetune {
namespace {

constexpr size_t kLongestName = 60;

// Describes how the class names `from` differ from the expected names `to`. Example: "1 of its 3
// classes is not expected: "Bear". 1 of the 3 expected is missing: "bear"".
std::string Difference(const ClassNames& from, const ClassNames& to) {
  const ClassNames unknown = NamesWithout(from, to);
  const ClassNames missing = NamesWithout(to, from);
  const auto part = [](const ClassNames& some, const char* of, size_t all, const char* what) {
    return absl::StrCat(some.size(), " of ", of, " ", all, " ", what, QuoteNames(some));
  };
  const char* verb = unknown.size() == 1 ? "is" : "are";
  std::string text =
      part(unknown, "its", from.size(), absl::StrCat("classes ", verb, " not expected: ").c_str());
  if (missing.empty()) return absl::StrCat(text, ". Expected are ", QuoteNames(to));
  verb = missing.size() == 1 ? "is" : "are";
  return absl::StrCat(
      text, ". ",
      part(missing, "the", to.size(), absl::StrCat("expected ", verb, " missing: ").c_str()));
}

}  // namespace

absl::StatusOr<std::vector<int64_t>> MapClasses(const ClassNames& from, const ClassNames& to) {
  std::map<std::string, std::vector<int64_t>> labels;
  for (size_t i = 0; i < to.size(); ++i) labels[to[i]].push_back(static_cast<int64_t>(i));
  std::vector<int64_t> map;
  for (size_t i = 0; i < from.size(); ++i) {
    const auto found = labels.find(from[i]);
    if (found == labels.end()) return absl::InvalidArgumentError(Difference(from, to));
    const std::vector<int64_t>& at = found->second;
    const bool same_number = std::find(at.begin(), at.end(), static_cast<int64_t>(i)) != at.end();
    if (at.size() > 1 && !same_number) {
      return absl::InvalidArgumentError(
          absl::StrCat("its class ", QuoteNames({from[i]}), " is number ", i,
                       "; of the classes expected, numbers ", at[0], " and ", at[1],
                       " both have that name, so it cannot be told which one it is"));
    }
    map.push_back(same_number ? static_cast<int64_t>(i) : at[0]);
  }
  return map;
}

bool IsIdentity(const std::vector<int64_t>& map) {
  for (size_t i = 0; i < map.size(); ++i) {
    if (map[i] != static_cast<int64_t>(i)) return false;
  }
  return true;
}

ClassNames NamesWithout(const ClassNames& names, const ClassNames& others) {
  const std::set<std::string> known(others.begin(), others.end());
  ClassNames left;
  for (const std::string& name : names) {
    if (!known.contains(name)) left.push_back(name);
  }
  return left;
}

std::string QuoteNames(const ClassNames& names, size_t most) {
  std::string text;
  for (size_t i = 0; i < std::min(most, names.size()); ++i) {
    const absl::string_view start = Utf8Start(names[i], kLongestName);
    absl::StrAppend(&text, i == 0 ? "" : ", ", "\"", absl::Utf8SafeCHexEscape(start),
                    start.size() < names[i].size() ? "..." : "", "\"");
  }
  if (names.size() > most) absl::StrAppend(&text, " and ", names.size() - most, " more");
  return text;
}

}  // namespace finetune
