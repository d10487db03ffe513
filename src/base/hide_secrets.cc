#include "src/base/hide_secrets.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace finetune {
namespace {

bool IsInScheme(char c) { return absl::ascii_isalnum(c) || c == '+' || c == '-' || c == '.'; }

// Returns the length of "https://" at the start of a URL; 0 if the text does not start as a URL.
// "https:/host" and "https:host" are mistakes for a URL, and count as one.
size_t SchemeLength(absl::string_view text) {
  size_t colon = 0;
  while (colon < text.size() && IsInScheme(text[colon])) ++colon;
  if (colon == 0) return 0;
  const absl::string_view scheme = text.substr(0, colon);
  absl::string_view rest = text.substr(colon);
  if (!absl::ConsumePrefix(&rest, ":")) return 0;
  const size_t slashes = std::min(rest.find_first_not_of('/'), rest.size());
  const bool is_web =
      absl::EqualsIgnoreCase(scheme, "http") || absl::EqualsIgnoreCase(scheme, "https");
  if (absl::EqualsIgnoreCase(scheme, "file") || (slashes < 2 && !is_web)) return 0;
  return colon + 1 + std::min<size_t>(slashes, 2);
}

// Returns whether every parameter of a query, as "download=true&raw=1", is only on or off.
bool SwitchesOnly(absl::string_view query) {
  const std::vector<absl::string_view> parameters = absl::StrSplit(query, '&');
  return std::all_of(parameters.begin(), parameters.end(), [](absl::string_view parameter) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(parameter, absl::MaxSplits('=', 1));
    return std::all_of(parts.first.begin(), parts.first.end(), absl::ascii_isalpha) &&
           (parts.second == "true" || parts.second == "false" || parts.second == "1" ||
            parts.second == "0");
  });
}

// Returns whether a URL's authority ends in a port that is not a number. Then the authority is
// likely a user and the beginning of a password that has a '/', '?' or '#'.
bool HasWrongPort(absl::string_view authority) {
  const size_t colon = authority.rfind(':');
  if (colon == absl::string_view::npos || absl::StartsWith(authority, "[")) return false;
  const absl::string_view port = authority.substr(colon + 1);
  return !std::all_of(port.begin(), port.end(), absl::ascii_isdigit);
}

}  // namespace

std::string HideSecretsOfUrl(absl::string_view url) {
  const size_t start = SchemeLength(url);
  if (start == 0) return std::string(url);
  const absl::string_view scheme = url.substr(0, start);
  absl::string_view rest = url.substr(start);
  const absl::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  size_t at = authority.rfind('@');
  if (at == absl::string_view::npos && HasWrongPort(authority)) at = rest.rfind('@');
  std::string user;
  if (at != absl::string_view::npos) {
    user = absl::StrCat(kHiddenSecret, "@");
    rest.remove_prefix(at + 1);
  }
  const size_t tail = rest.find_first_of("?#");
  if (tail == absl::string_view::npos ||
      (rest[tail] == '?' && SwitchesOnly(rest.substr(tail + 1)))) {
    return absl::StrCat(scheme, user, rest);
  }
  return absl::StrCat(scheme, user, rest.substr(0, tail + 1), kHiddenSecret);
}

std::string HideSecrets(absl::string_view text) {
  std::string hidden;
  while (!text.empty()) {
    // The next run of characters that a scheme may have, in which a URL can start.
    size_t start = 0;
    while (start < text.size() && !IsInScheme(text[start])) ++start;
    absl::StrAppend(&hidden, text.substr(0, start));
    text.remove_prefix(start);
    size_t length = 0;
    if (SchemeLength(text) > 0) {
      while (length < text.size() && !absl::ascii_isspace(text[length]) &&
             !absl::ascii_iscntrl(text[length]) && text[length] != '"') {
        ++length;
      }
      absl::StrAppend(&hidden, HideSecretsOfUrl(text.substr(0, length)));
    } else {
      while (length < text.size() && IsInScheme(text[length])) ++length;
      absl::StrAppend(&hidden, text.substr(0, length));
    }
    text.remove_prefix(length);
  }
  return hidden;
}

}  // namespace finetune
