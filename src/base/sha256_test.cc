#include "src/base/sha256.h"

#include <string>

#include "gtest/gtest.h"
#include "src/base/atomic_file.h"

namespace finetune {
namespace {

// The digest of "abc" is an example in the standard, FIPS 180-4.
TEST(Sha256Test, MatchesTheExampleOfFips180InOnePieceAndInTwo) {
  const std::string expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  Sha256 whole, pieces;
  whole.Update("abc");
  pieces.Update("a");
  pieces.Update("bc");
  EXPECT_EQ(whole.HexDigest(), expected);
  EXPECT_EQ(pieces.HexDigest(), expected);
}

TEST(Sha256Test, HashesAFile) {
  const std::string path = testing::TempDir() + "/abc";
  ASSERT_TRUE(WriteFileAtomically(path, "abc").ok());
  EXPECT_EQ(Sha256OfFile(path)->substr(0, 8), "ba7816bf");
  EXPECT_EQ(Sha256OfFile("/nowhere").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace finetune
