#include "src/config/origins.h"

#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace finetune {

std::string Place::ToString() const {
  return line == 0 ? file : absl::StrCat(file, ":", line, ":", column);
}

std::string JoinPath(const std::string& path, absl::string_view name) {
  return path.empty() ? std::string(name) : absl::StrCat(path, ".", name);
}

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

}  // namespace finetune
