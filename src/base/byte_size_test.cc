#include "src/base/byte_size.h"

#include "gtest/gtest.h"

namespace finetune {
namespace {

TEST(ByteSizeTest, ReadsUnitsAsSlurmDoes) {
  EXPECT_EQ(*ParseByteSize("40GiB"), int64_t{40} << 30);
  EXPECT_EQ(*ParseByteSize("40G"), int64_t{40} << 30);
  EXPECT_EQ(*ParseByteSize("1.5MiB"), 3 << 19);
  EXPECT_EQ(*ParseByteSize("1K"), 1024);
  EXPECT_EQ(*ParseByteSize("2TiB"), int64_t{2} << 40);
}

TEST(ByteSizeTest, RefusesTextsThatAreNotASize) {
  for (const char* text :
       {"", "40", "GiB", "40GB", "40gib", "-1GiB", "0G", "nanG", "infG", "1e30T"}) {
    EXPECT_EQ(ParseByteSize(text).status().message(),
              std::string("expected a size such as 40GiB or 512MiB, got ") + text);
  }
}

}  // namespace
}  // namespace finetune
