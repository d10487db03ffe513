#include "src/config/tokens.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/utf8.h"

namespace finetune {

Tokens::Tokens(const std::string& text, google::protobuf::io::ErrorCollector* errors)
    : all_(text), input_(text.data(), static_cast<int>(text.size())), tokenizer_(&input_, errors) {
  // The same options as TextFormat::Parser sets.
  tokenizer_.set_allow_f_after_float(true);
  tokenizer_.set_comment_style(Tokenizer::SH_COMMENT_STYLE);
  tokenizer_.Next();
}

bool Tokens::Take(absl::string_view symbol) {
  if (!Is(symbol)) return false;
  Next();
  return true;
}

std::string Tokens::Shown() const {
  constexpr size_t kLongest = 60;
  if (AtEnd()) return "nothing";
  const bool plain = std::none_of(text().begin(), text().end(), absl::ascii_iscntrl);
  const std::string shown = plain ? text() : absl::CHexEscape(text());
  const absl::string_view start = Utf8Start(shown, kLongest);
  return absl::StrCat(start, start.size() < shown.size() ? "..." : "");
}

std::string Tokens::WrittenNumber() const {
  if (AtEnd()) return "";
  const size_t begin = OffsetOf(place());
  const auto goes_on = [&](size_t at) {
    const char c = all_[at];
    if (c != '+' && c != '-') return absl::ascii_isalnum(c) || c == '.';
    return at > begin && (all_[at - 1] == 'e' || all_[at - 1] == 'E');
  };
  size_t end = begin;
  while (end < all_.size() && goes_on(end)) ++end;
  return all_.substr(begin, end - begin);
}

size_t Tokens::OffsetOf(TextPlace place) const {
  size_t offset = 0;
  for (int line = 0; line < place.line; ++line) offset = all_.find('\n', offset) + 1;
  // The tokenizer counts a tab as columns up to the next multiple of 8.
  for (int column = 0; column < place.column && offset < all_.size(); ++offset) {
    column += all_[offset] == '\t' ? 8 - column % 8 : 1;
  }
  return offset;
}

}  // namespace finetune
