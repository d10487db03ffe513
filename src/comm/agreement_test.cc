// Runs under mpirun with any number of ranks.
#include "src/comm/agreement.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/comm/mpi/mpi_communicator.h"
#include "tests/mpi_main.h"

namespace finetune {
namespace {

using testing::HasSubstr;

std::vector<std::vector<AgreementItem>> Ranks(const std::vector<std::string>& configs) {
  std::vector<std::vector<AgreementItem>> ranks;
  ranks.reserve(configs.size());
  for (const std::string& config : configs) {
    ranks.push_back({{"the program", "p"}, {"the config", config}});
  }
  return ranks;
}
const std::vector<std::string> kHosts = {"a", "a", "b", "b", "c", "c", "d"};

TEST(CompareItemsTest, EqualRanksAgree) {
  EXPECT_TRUE(CompareItems(Ranks({"x", "x", "x"}), kHosts).ok());
  EXPECT_TRUE(CompareItems(Ranks({"x"}), kHosts).ok());
}

TEST(CompareItemsTest, TheOneThatDiffersFromMostIsNamedWithBothValues) {
  EXPECT_EQ(CompareItems(Ranks({"x", "x", "y"}), kHosts).message(),
            "the ranks differ: the config is y on rank 2 (host b), but x on 2 ranks such as rank 0 "
            "(host a)");
  EXPECT_EQ(CompareItems(Ranks({"y", "x", "x"}), kHosts).message(),
            "the ranks differ: the config is y on rank 0 (host a), but x on 2 ranks such as rank 1 "
            "(host a)");
}

TEST(CompareItemsTest, WithoutAMajorityRankZeroIsRight) {
  EXPECT_EQ(CompareItems(Ranks({"x", "y"}), kHosts).message(),
            "the ranks differ: the config is y on rank 1 (host a), but x on rank 0 (host a)");
}

TEST(CompareItemsTest, ManyRanksAreCounted) {
  const absl::Status status = CompareItems(Ranks({"x", "1", "2", "3", "4", "5", "x"}), kHosts);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("4 on rank 4 (host c), and 1 more ranks differ, but x on 2 ranks"));
}

TEST(CompareItemsTest, EveryItemThatDiffersIsNamed) {
  auto ranks = Ranks({"x", "y", "x"});
  ranks[2][0].value = "q";
  const absl::Status status = CompareItems(ranks, kHosts);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the program is q on rank 2"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("the config is y on rank 1"));
}

// If ranks run different versions of the program, one may lack an item.
TEST(CompareItemsTest, AMissingItemIsADifference) {
  auto ranks = Ranks({"x", "x", "x"});
  ranks[1].pop_back();
  EXPECT_THAT(std::string(CompareItems(ranks, kHosts).message()), HasSubstr("missing on rank 1"));
}

class AgreementTest : public testing::Test {
 protected:
  std::unique_ptr<MpiCommunicator> comm_ =
      *MpiCommunicator::Create(TestSession(), CommConfig(), {});
};

TEST_F(AgreementTest, EveryRankGetsTheSameError) {
  const int last = comm_->size() - 1;
  std::vector<AgreementItem> items = {{"the world", "3"},
                                      {"the data's manifest", std::string("a\0b", 3)}};
  EXPECT_TRUE(CheckAgreement(items, *comm_).ok());
  EXPECT_TRUE(CheckAgreement({}, *comm_).ok());
  if (comm_->rank() == last) items[0].value = "other";
  const absl::Status status = CheckAgreement(items, *comm_);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(absl::StrCat("the world is other on rank ", last, " (host ",
                                     comm_->host(last), "), but 3 on ")));
}

TEST_F(AgreementTest, AnErrorOfOneRankIsEveryRanks) {
  EXPECT_TRUE(Agree(absl::OkStatus(), *comm_).ok());
  const absl::Status mine =
      comm_->rank() == 1 ? absl::NotFoundError("no such file") : absl::OkStatus();
  const absl::Status ours = Agree(mine, *comm_);
  EXPECT_EQ(ours.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ours.message(), absl::StrCat("rank 1 (host ", comm_->host(1), "): no such file"));
  EXPECT_TRUE(IsAgreed(ours));
  // An error that all ranks have is returned without the name of a rank.
  const absl::Status same = Agree(absl::NotFoundError("no such file"), *comm_);
  EXPECT_EQ(same.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(same.message(), "no such file");
  EXPECT_TRUE(IsAgreed(same));
  EXPECT_FALSE(IsAgreed(absl::NotFoundError("no such file")));
  EXPECT_FALSE(IsAgreed(Agree(absl::OkStatus(), *comm_)));
}

TEST_F(AgreementTest, AnErrorKeepsItsPayloads) {
  absl::Status error = absl::InvalidArgumentError("comm.backend: is NCCL");
  error.SetPayload("field", absl::Cord("comm.backend"));
  error.SetPayload("empty", absl::Cord());
  EXPECT_EQ(Agree(error, *comm_), MarkAgreed(error));
}

}  // namespace
}  // namespace finetune
