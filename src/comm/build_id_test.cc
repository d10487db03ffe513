#include "src/comm/build_id.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

TEST(BuildIdTest, IsTheLinkersDigest) {
  EXPECT_THAT(BuildId(), testing::MatchesRegex("[0-9a-f]{16,}"));
}

}  // namespace
}  // namespace finetune
