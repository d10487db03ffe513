#include "src/data/classes.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ErrorOf(const ClassNames& from, const ClassNames& to) {
  return std::string(MapClasses(from, to).status().message());
}

TEST(ClassesTest, MapsLabelsByName) {
  EXPECT_THAT(*MapClasses({"cat", "apple", "bear"}, {"apple", "bear", "cat"}),
              ElementsAre(2, 0, 1));
  EXPECT_TRUE(IsIdentity(*MapClasses({"a", "b"}, {"a", "b"})));
  EXPECT_FALSE(IsIdentity(*MapClasses({"b", "a"}, {"a", "b"})));
}

TEST(ClassesTest, MapsASubset) {
  EXPECT_THAT(*MapClasses({"cat", "apple"}, {"apple", "bear", "cat"}), ElementsAre(2, 0));
}

TEST(ClassesTest, RefusesANameThatIsNotExpectedAndSaysWhatDiffers) {
  EXPECT_EQ(ErrorOf({"apple", "Bear", "cat"}, {"apple", "bear", "cat"}),
            "1 of its 3 classes is not expected: \"Bear\". 1 of the 3 expected is missing: "
            "\"bear\"");
  EXPECT_EQ(ErrorOf({"apple", "bear", "cat"}, {"apple", "bear"}),
            "1 of its 3 classes is not expected: \"cat\". Expected are \"apple\", \"bear\"");
}

TEST(ClassesTest, ShowsOnlyTheDifferencesOfAThousandNames) {
  ClassNames from, to;
  for (int i = 0; i < 1000; ++i) {
    from.push_back(absl::StrCat("class ", i));
    to.push_back(i < 985 ? from.back() : absl::StrCat("other ", i));
  }
  const std::string error = ErrorOf(from, to);
  EXPECT_THAT(error, HasSubstr("15 of its 1000 classes are not expected: \"class 985\""));
  EXPECT_THAT(error, HasSubstr("\"class 994\" and 5 more. 15 of the 1000 expected are missing"));
  EXPECT_THAT(error, HasSubstr("\"other 985\""));
  EXPECT_LT(error.size(), 500u);
}

TEST(ClassesTest, ANameThatIsExpectedTwiceKeepsItsNumberOrIsRefused) {
  EXPECT_THAT(*MapClasses({"heron", "crane", "tug"}, {"heron", "crane", "tug", "crane"}),
              ElementsAre(0, 1, 2));
  EXPECT_THAT(ErrorOf({"crane", "heron"}, {"heron", "crane", "tug", "crane"}),
              HasSubstr("numbers 1 and 3 both have that name"));
}

TEST(ClassesTest, EscapesAndCutsNamesOfForeignFiles) {
  EXPECT_EQ(QuoteNames({"a\nb"}), "\"a\\nb\"");
  EXPECT_LT(QuoteNames({std::string(10000, 'x')}).size(), 80u);
  // A long name must not be cut within a UTF-8 character.
  std::string cats = "x";
  for (int i = 0; i < 30; ++i) cats += "\xE7\x8C\xAB";
  EXPECT_EQ(QuoteNames({cats}), "\"" + cats.substr(0, 58) + "...\"");
}

}  // namespace
}  // namespace finetune
