#include "src/host/build_id.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

TEST(BuildIdTest, IsTheLinkersDigest) {
  EXPECT_THAT(BuildId(), testing::MatchesRegex("[0-9a-f]{16,}"));
}

TEST(BuildIdTest, ALibraryHasItsOwn) {
  EXPECT_THAT(BuildId("libc.so.6"), testing::MatchesRegex("[0-9a-f]{16,}"));
  EXPECT_NE(BuildId("libc.so.6"), BuildId());
  EXPECT_EQ(BuildId("libnowhere.so"), "unknown");
}

}  // namespace
}  // namespace finetune
