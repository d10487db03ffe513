// Runs under mpirun with any number of ranks.
#include "src/comm/mpi/mpi_communicator.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/comm/mpi/shared_memory.h"
#include "tests/mpi_main.h"

namespace finetune {
namespace {

std::unique_ptr<MpiCommunicator> Make(MpiConfig::Algorithm algorithm = MpiConfig::AUTO,
                                      CommObserver observer = {}) {
  CommConfig config;
  config.mutable_mpi()->set_algorithm(algorithm);
  config.set_stall_warning_seconds(20);
  config.set_timeout_seconds(40);
  auto communicator = MpiCommunicator::Create(TestSession(), config, std::move(observer));
  EXPECT_TRUE(communicator.ok()) << communicator.status();
  return *std::move(communicator);
}

// Returns rank `rank`'s input. The same on every rank, so that each rank can compute the expected
// sums.
std::vector<float> RandomValues(int64_t n, int rank) {
  std::mt19937 random(int64_t{1000} * rank + n % 997);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

// Returns the inputs of all ranks, as [rank][element].
std::vector<std::vector<float>> RandomValuesOfAll(int64_t n, int ranks) {
  std::vector<std::vector<float>> all(ranks);
  for (int r = 0; r < ranks; ++r) all[r] = RandomValues(n, r);
  return all;
}

// The reference: adds in the order that wire.h promises, one element at a time. Chunk c is added
// from rank c on.
std::vector<float> SerialSum(std::vector<std::vector<float>> all) {
  const auto size = static_cast<int>(all.size());
  const auto n = static_cast<int64_t>(all[0].size());
  std::vector<float> sum(n);
  for (int c = 0; c < size; ++c) {
    const Chunk chunk = ChunkOf(n, size, c);
    for (int64_t i = chunk.begin; i < chunk.end; ++i) {
      float total = all[c][i];
      for (int k = 1; k < size; ++k) total += all[(c + k) % size][i];
      sum[i] = total;
    }
  }
  return sum;
}

at::Tensor TensorOf(std::vector<float>& values) {
  return at::from_blob(values.data(), {static_cast<int64_t>(values.size())}, at::kFloat);
}

class AllReduceTest : public testing::TestWithParam<MpiConfig::Algorithm> {};

const int64_t kSizes[] = {0,   1,    2,    3,     15,     16,     17,     33,
                          100, 1000, 4096, 65537, 262144, 300001, 1500007};

TEST_P(AllReduceTest, WholeNumbersSumExactly) {
  auto communicator = Make(GetParam());
  const int size = communicator->size();
  for (int64_t n : kSizes) {
    std::vector<float> values(n);
    for (int64_t i = 0; i < n; ++i) values[i] = static_cast<float>(i % 1000 + communicator->rank());
    auto work = communicator->AllReduceSum(TensorOf(values));
    ASSERT_TRUE(work.ok()) << work.status();
    ASSERT_TRUE((*work)->Wait().ok());
    for (int64_t i = 0; i < n; ++i) {
      const int64_t want = size * (i % 1000) + size * (size - 1) / 2;
      ASSERT_EQ(values[i], static_cast<float>(want)) << i << " of " << n;
    }
  }
}

TEST_P(AllReduceTest, SumsAreTheSameBitsAsASerialSumInThePromisedOrder) {
  if (GetParam() == MpiConfig::MPI_CHOICE) GTEST_SKIP() << "MPI's order is its own";
  auto communicator = Make(GetParam());
  for (int64_t n : kSizes) {
    const std::vector<std::vector<float>> all = RandomValuesOfAll(n, communicator->size());
    std::vector<float> values = all[communicator->rank()];
    auto work = communicator->AllReduceSum(TensorOf(values));
    ASSERT_TRUE(work.ok()) << work.status();
    ASSERT_TRUE((*work)->Wait().ok());
    const std::vector<float> want = SerialSum(all);
    ASSERT_EQ(std::memcmp(values.data(), want.data(), n * sizeof(float)), 0) << n;
  }
}

TEST_P(AllReduceTest, PartsOfABufferSumAsOtherTensorsDo) {
  auto communicator = Make(GetParam());
  const int64_t total = 2'000'000;
  auto buffer = communicator->AllocateBuffer(total);
  ASSERT_TRUE(buffer.ok()) << buffer.status();
  EXPECT_EQ(buffer->count_nonzero().item<int64_t>(), 0);
  const std::vector<std::vector<float>> all = RandomValuesOfAll(total, communicator->size());
  std::copy(all[communicator->rank()].begin(), all[communicator->rank()].end(),
            buffer->data_ptr<float>());
  // Several all-reduces of one buffer run at once. The elements from 1,003,017 on are in none of
  // them.
  const std::vector<std::pair<int64_t, int64_t>> parts = {
      {0, 16}, {16, 3001}, {3017, 1'000'000}, {1'900'000, 0}};
  std::vector<std::unique_ptr<Communicator::Work>> works;
  for (auto [begin, n] : parts) {
    auto work = communicator->AllReduceSum(buffer->narrow(0, begin, n));
    ASSERT_TRUE(work.ok()) << work.status();
    works.push_back(*std::move(work));
  }
  for (auto& work : works) ASSERT_TRUE(work->Wait().ok());
  const float* result = buffer->data_ptr<float>();
  for (auto [begin, n] : parts) {
    std::vector<std::vector<float>> slices = all;
    for (auto& values : slices) {
      values = std::vector<float>(values.begin() + begin, values.begin() + begin + n);
    }
    const std::vector<float> want = SerialSum(slices);
    for (int64_t i = 0; i < n; ++i) {
      if (GetParam() == MpiConfig::MPI_CHOICE) {
        ASSERT_NEAR(result[begin + i], want[i], 1e-5);
      } else {
        ASSERT_EQ(result[begin + i], want[i]);
      }
    }
  }
  for (int64_t i = 1'003'017; i < total; ++i) ASSERT_EQ(result[i], all[communicator->rank()][i]);
}

TEST_P(AllReduceTest, EveryRankHasTheSameBits) {
  auto communicator = Make(GetParam());
  for (Wire wire : {Wire::kFloat32, Wire::kBFloat16, Wire::kFloat16}) {
    std::vector<float> values = RandomValues(300001, communicator->rank());
    auto work = communicator->AllReduceSum(TensorOf(values), wire);
    ASSERT_TRUE(work.ok()) << work.status();
    ASSERT_TRUE((*work)->Wait().ok());
    auto all = communicator->AllGather(
        absl::string_view(reinterpret_cast<char*>(values.data()), values.size() * sizeof(float)));
    ASSERT_TRUE(all.ok());
    for (const std::string& other : *all) EXPECT_EQ(other, (*all)[0]);
  }
}

TEST_P(AllReduceTest, SixteenBitsOnTheWayKeepTheirPrecision) {
  auto communicator = Make(GetParam());
  const int size = communicator->size();
  const int64_t n = 100003;
  std::vector<double> exact(n, 0.0), magnitude(n, 0.0);
  for (int r = 0; r < size; ++r) {
    const std::vector<float> values = RandomValues(n, r);
    for (int64_t i = 0; i < n; ++i) {
      exact[i] += values[i];
      magnitude[i] += std::abs(values[i]);
    }
  }
  for (Wire wire : {Wire::kBFloat16, Wire::kFloat16}) {
    std::vector<float> values = RandomValues(n, communicator->rank());
    auto work = communicator->AllReduceSum(TensorOf(values), wire);
    ASSERT_TRUE(work.ok()) << work.status();
    ASSERT_TRUE((*work)->Wait().ok());
    // At most `size` ranks round the partial sum, each by at most half a unit in the last place.
    const double unit = wire == Wire::kBFloat16 ? std::ldexp(1.0, -8) : std::ldexp(1.0, -11);
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_NEAR(values[i], exact[i], size * unit * magnitude[i] + 1e-6);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Algorithms, AllReduceTest,
                         testing::Values(MpiConfig::AUTO, MpiConfig::RING, MpiConfig::MPI_CHOICE,
                                         MpiConfig::SHARED_MEMORY),
                         [](const auto& info) { return MpiConfig::Algorithm_Name(info.param); });

TEST(MpiCommunicatorTest, KnowsItsWorld) {
  auto communicator = Make();
  EXPECT_EQ(std::ssize(communicator->world().hosts), communicator->size());
  const std::vector<std::string>& hosts = communicator->world().hosts;
  const std::string& own = communicator->host(communicator->rank());
  EXPECT_FALSE(own.empty());
  EXPECT_EQ(communicator->local_size(), std::count(hosts.begin(), hosts.end(), own));
  EXPECT_EQ(communicator->local_rank(),
            std::count(hosts.begin(), hosts.begin() + communicator->rank(), own));
}

TEST(MpiCommunicatorTest, NumbersAreSummedInTheOrderOfRanks) {
  auto communicator = Make();
  std::vector<double> values = {1.0, 0.1 * (communicator->rank() + 1), -0.0};
  ASSERT_TRUE(communicator->AllReduceSum(absl::MakeSpan(values)).ok());
  double want = 0;
  for (int r = 0; r < communicator->size(); ++r) want += 0.1 * (r + 1);
  EXPECT_EQ(values[0], communicator->size());
  EXPECT_EQ(values[1], want);
  EXPECT_EQ(values[2], 0.0);
  ASSERT_TRUE(communicator->AllReduceSum(absl::Span<double>()).ok());
}

TEST(MpiCommunicatorTest, GathersStringsOfAnyLength) {
  auto communicator = Make();
  const auto text = [](int rank) {
    return std::string(size_t{1000} * rank, static_cast<char>('a' + rank));
  };
  auto all = communicator->AllGather(text(communicator->rank()));
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(std::ssize(*all), communicator->size());
  for (int r = 0; r < communicator->size(); ++r) EXPECT_EQ((*all)[r], text(r));
}

TEST(MpiCommunicatorTest, BroadcastsTensorsOfAnyTypeAndLayout) {
  auto communicator = Make();
  const int root = communicator->size() - 1;
  for (at::ScalarType type : {at::kFloat, at::kLong, at::kBFloat16, at::kByte}) {
    at::Tensor want = at::arange(2 * 3 * 4 * 5, at::kLong)
                          .view({2, 3, 4, 5})
                          .to(type)
                          .contiguous(at::MemoryFormat::ChannelsLast);
    at::Tensor tensor = communicator->rank() == root ? want.clone() : at::full_like(want, 7);
    ASSERT_TRUE(communicator->Broadcast(tensor, root).ok());
    EXPECT_TRUE(tensor.equal(want));
  }
  EXPECT_FALSE(communicator->Broadcast(at::zeros({4, 4}).slice(1, 0, 2), root).ok());
}

TEST(MpiCommunicatorTest, BroadcastsBytes) {
  auto communicator = Make();
  for (size_t n : {0, 1, 100000}) {
    std::string bytes = communicator->rank() == 0 ? std::string(n, 'x') : "of another length";
    ASSERT_TRUE(communicator->Broadcast(bytes, 0).ok());
    EXPECT_EQ(bytes, std::string(n, 'x'));
  }
}

TEST(MpiCommunicatorTest, RefusesTensorsThatItCannotSum) {
  auto communicator = Make();
  for (const at::Tensor& tensor : {at::zeros({4}, at::kDouble), at::zeros({4, 4}).t()}) {
    auto work = communicator->AllReduceSum(tensor);
    EXPECT_EQ(work.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(work.status().message()), testing::HasSubstr("contiguous float32"));
  }
}

TEST(MpiCommunicatorTest, TellsOfEachOperation) {
  std::vector<CollectiveEvent> events;
  {
    auto communicator =
        Make(MpiConfig::AUTO, {[&](const CollectiveEvent& event) { events.push_back(event); }});
    ASSERT_TRUE(communicator->Barrier().ok());
    std::vector<float> values(1000);
    auto work = communicator->AllReduceSum(TensorOf(values));
    ASSERT_TRUE((*work)->Wait().ok());
  }
  ASSERT_GE(events.size(), 2u);
  EXPECT_STREQ(events[0].name, "barrier");
  EXPECT_STREQ(events[1].name, "all-reduce");
  EXPECT_EQ(events[1].bytes, 4000);
  EXPECT_LE(events[1].submitted, events[1].began);
  EXPECT_LE(events[1].began, events[1].ended);
}

TEST(MpiCommunicatorTest, DifferentSizesAreAnErrorWhereTheyShareMemory) {
  if (TestSession().active()) {
    auto communicator = Make(MpiConfig::SHARED_MEMORY);
    if (communicator->size() == 1) GTEST_SKIP();
    std::vector<float> values(communicator->rank() == 0 ? 10 : 20);
    auto work = communicator->AllReduceSum(TensorOf(values));
    ASSERT_TRUE(work.ok());
    const absl::Status status = (*work)->Wait();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr("elements"));
    // After an error every later operation returns the same error.
    EXPECT_EQ(communicator->Barrier(), status);
  }
}

}  // namespace
}  // namespace finetune
