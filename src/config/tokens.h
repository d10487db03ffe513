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

// The tokens of a text, as protobuf's text format divides it, one at a time.
class Tokens {
 public:
  using Tokenizer = ::google::protobuf::io::Tokenizer;

  // `errors` gets what the tokenizer cannot read. It and `text` outlive this.
  Tokens(const std::string& text, google::protobuf::io::ErrorCollector* errors);

  const Tokenizer::Token& current() const { return tokenizer_.current(); }
  const std::string& text() const { return current().text; }
  TextPlace place() const { return {current().line, current().column}; }
  bool AtEnd() const { return Is(Tokenizer::TYPE_END); }
  bool Is(absl::string_view symbol) const { return text() == symbol; }
  bool Is(Tokenizer::TokenType type) const { return current().type == type; }

  void Next() { tokenizer_.Next(); }
  // Goes past the token if it is `symbol`, and returns whether it was.
  bool Take(absl::string_view symbol);

  // Returns the token for a message: on one line and not long; "nothing" at the end.
  std::string Shown() const;

  // Returns the number at hand as it is written. The tokenizer ends it where it cannot go on: it
  // takes 01.5 for 01 and .5. For another kind of token: the letters and digits at its start.
  std::string WrittenNumber() const;

 private:
  const std::string& all_;
  google::protobuf::io::ArrayInputStream input_;
  mutable Tokenizer tokenizer_;  // its current() is not const
};

}  // namespace finetune

#endif  // FINETUNE_CONFIG_TOKENS_H_
