#include "src/base/utf8.h"

#include "gtest/gtest.h"

namespace finetune {
namespace {

TEST(Utf8Test, KeepsWellFormedText) {
  for (const char* text : {"", "apple", "\xC3\xA9t\xC3\xA9", "\xE7\x8C\xAB", "\xF0\x9F\x90\x88"}) {
    EXPECT_EQ(ValidUtf8(text), text);
  }
}

TEST(Utf8Test, ReplacesBytesOfOtherEncodings) {
  EXPECT_EQ(ValidUtf8("caf\xE9"), "caf\xEF\xBF\xBD");
  // The first text encodes a surrogate, which UTF-8 forbids. The second lacks its last byte.
  EXPECT_EQ(ValidUtf8("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(ValidUtf8("\xE7\x8C"), "\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(Utf8Test, CutsBetweenCharacters) {
  EXPECT_EQ(Utf8Start("apple", 5), "apple");
  EXPECT_EQ(Utf8Start("apple", 3), "app");
  const std::string cats = "\xE7\x8C\xAB\xE7\x8C\xAB";
  EXPECT_EQ(Utf8Start(cats, 6), cats);
  for (size_t most : {3, 4, 5}) EXPECT_EQ(Utf8Start(cats, most), cats.substr(0, 3));
  EXPECT_EQ(Utf8Start(cats, 2), "");
}

}  // namespace
}  // namespace finetune
