#include "src/base/version.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

TEST(VersionTest, WriterNamesTheVersion) {
  EXPECT_EQ(absl::StrCat("finetune ", kFinetuneVersion), kFinetuneWriter);
}

TEST(VersionTest, ReadsOlderFormatsAndItsOwn) {
  EXPECT_TRUE(CheckFormatVersion(0, 3, "").ok());
  EXPECT_TRUE(CheckFormatVersion(3, 3, "finetune 0.2.0").ok());
}

TEST(VersionTest, RefusesNewerFormatsAndNamesTheirWriter) {
  EXPECT_EQ(CheckFormatVersion(4, 3, "finetune 9.8.7"),
            absl::InvalidArgumentError(
                absl::StrCat("is 4, written by finetune 9.8.7; ", kFinetuneWriter,
                             " reads formats up to 3: use finetune 9.8.7 or a newer one")));
  EXPECT_EQ(CheckFormatVersion(4, 3, ""),
            absl::InvalidArgumentError(absl::StrCat(
                "is 4; ", kFinetuneWriter,
                " reads formats up to 3: use the version that wrote it or a newer one")));
}

}  // namespace
}  // namespace finetune
