#ifndef FINETUNE_CONFIG_TOKENS_H_
#define FINETUNE_CONFIG_TOKENS_H_

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <string>

#include "absl/strings/string_view.h"

namespace finetune {

// A place in a text, counted from 0 as protobuf's tokenizer does.
struct TextPlace {
  int line = 0, column = 0;
};

// Divides a text into tokens as protobuf's text format does, and shows one token at a time.
class Tokens {
 public:
  using Tokenizer = ::google::protobuf::io::Tokenizer;

  // `errors` gets an error for each part of the text that is not a token. `text` and `errors` must
  // outlive this object.
  Tokens(const std::string& text, google::protobuf::io::ErrorCollector* errors);

  const Tokenizer::Token& current() const { return tokenizer_.current(); }
  const std::string& text() const { return current().text; }
  TextPlace place() const { return {current().line, current().column}; }
  // Returns the place behind the token before this one.
  TextPlace last_end() const {
    return {tokenizer_.previous().line, tokenizer_.previous().end_column};
  }
  bool AtEnd() const { return Is(Tokenizer::TYPE_END); }
  bool Is(absl::string_view symbol) const { return text() == symbol; }
  bool Is(Tokenizer::TokenType type) const { return current().type == type; }

  void Next() { tokenizer_.Next(); }
  // If the token is `symbol`, moves to the next token and returns true; otherwise returns false.
  bool Take(absl::string_view symbol);

  // Returns the token as an error message shows it: on one line, and cut if it is long; "nothing"
  // at the end of the text.
  std::string Shown() const;

  // Returns the whole number that starts at the token, as it is written. The tokenizer ends a
  // number at the first character that does not fit: it divides 01.5 into 01 and .5. For another
  // kind of token it returns the letters and digits at the token's start.
  std::string WrittenNumber() const;

  // Returns the number of bytes of the text before the place.
  size_t OffsetOf(TextPlace place) const;

 private:
  const std::string& all_;
  google::protobuf::io::ArrayInputStream input_;
  mutable Tokenizer tokenizer_;  // mutable because Tokenizer::current() is not const
};

}  // namespace finetune

#endif  // FINETUNE_CONFIG_TOKENS_H_
