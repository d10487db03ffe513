#include "src/tensor/large_tensor_memory.h"

#include <c10/core/CPUAllocator.h>
#include <sys/resource.h>

#include <cstdint>
#include <cstring>
#include <exception>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace finetune {
namespace {

constexpr size_t kMebi = size_t{1} << 20;

TEST(LargeTensorMemory, ReusesFreedMemory) {
  LargeTensorMemory memory(64 * kMebi, c10::GetCPUAllocator());
  void* first = nullptr;
  {
    const c10::DataPtr data = memory.allocate(10 * kMebi);
    first = data.get();
    std::memset(first, 1, 10 * kMebi);
  }
  const c10::DataPtr again = memory.allocate(9 * kMebi);
  EXPECT_EQ(again.get(), first);
  EXPECT_LT(memory.high_water(), 11 * kMebi);
}

TEST(LargeTensorMemory, TakesTheSmallestPlaceThatFits) {
  LargeTensorMemory memory(64 * kMebi, c10::GetCPUAllocator());
  c10::DataPtr large = memory.allocate(8 * kMebi);
  const c10::DataPtr wall = memory.allocate(kMebi);
  c10::DataPtr small = memory.allocate(4 * kMebi);
  const c10::DataPtr end = memory.allocate(kMebi);
  void* place = small.get();
  large.clear();
  small.clear();
  EXPECT_EQ(memory.allocate(3 * kMebi).get(), place);
}

TEST(LargeTensorMemory, SmallTensorsAndThoseWithoutRoomUseTheOtherAllocator) {
  LargeTensorMemory memory(8 * kMebi, c10::GetCPUAllocator());
  const c10::DataPtr small = memory.allocate(1000);
  const c10::DataPtr too_large = memory.allocate(9 * kMebi);
  EXPECT_EQ(memory.high_water(), 0u);
  ASSERT_NE(small.get(), nullptr);
  ASSERT_NE(too_large.get(), nullptr);
  std::memset(too_large.get(), 1, 9 * kMebi);
  EXPECT_EQ(memory.allocate(0).get(), nullptr);
}

// LibTorch's oneDNN frees memory through raw_deallocate().
TEST(LargeTensorMemory, AllocatesAndFreesRawMemory) {
  LargeTensorMemory memory(64 * kMebi, c10::GetCPUAllocator());
  for (const size_t bytes : {size_t{100}, 10 * kMebi, 100 * kMebi}) {
    void* data = memory.raw_allocate(bytes);
    std::memset(data, 1, bytes);
    memory.raw_deallocate(data);
  }
  EXPECT_LT(memory.high_water(), 11 * kMebi);
}

// RLIMIT_DATA, a limit on the memory of the process, also limits a LargeTensorMemory.
TEST(LargeTensorMemory, StaysWithinTheLimitsOfTheProcess) {
  LargeTensorMemory memory(size_t{1} << 34, c10::GetCPUAllocator());
  const c10::DataPtr before = memory.allocate(4 * kMebi);
  rlimit old = {};
  ASSERT_EQ(getrlimit(RLIMIT_DATA, &old), 0);
  const rlimit limit = {size_t{1} << 30, old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_DATA, &limit), 0);
  EXPECT_THROW(memory.allocate(size_t{1} << 32), std::exception);
  ASSERT_EQ(setrlimit(RLIMIT_DATA, &old), 0);
  EXPECT_LT(memory.high_water(), 5 * kMebi);
  const c10::DataPtr after = memory.allocate(size_t{1} << 32);
  EXPECT_GT(memory.high_water(), size_t{1} << 32);
}

// Creates and frees tensors of random sizes. Each is filled with its own number, which must still
// be everywhere in it when it is freed. At the end the whole range must be one free block.
TEST(LargeTensorMemory, NeverGivesAByteTwiceAndForgetsNone) {
  constexpr size_t kRange = 96 * kMebi;
  LargeTensorMemory memory(kRange, c10::GetCPUAllocator());
  struct Tensor {
    c10::DataPtr data;
    size_t words;
    uint64_t number;
  };
  std::vector<Tensor> tensors;
  std::mt19937_64 random(7);
  const auto expect_whole = [](const Tensor& tensor) {
    const auto* words = static_cast<const uint64_t*>(tensor.data.get());
    for (size_t i = 0; i < tensor.words; ++i) ASSERT_EQ(words[i], tensor.number);
  };
  for (uint64_t i = 0; i < 400; ++i) {
    if (tensors.size() > 12 || (!tensors.empty() && random() % 2 == 0)) {
      const size_t which = random() % tensors.size();
      expect_whole(tensors[which]);
      std::swap(tensors[which], tensors.back());
      tensors.pop_back();
    } else {
      const size_t words = kMebi / 8 + random() % kMebi;
      tensors.push_back({memory.allocate(words * 8), words, i});
      ASSERT_EQ(reinterpret_cast<uintptr_t>(tensors.back().data.get()) % 64, 0u);
      std::fill_n(static_cast<uint64_t*>(tensors.back().data.get()), words, i);
    }
  }
  for (const Tensor& tensor : tensors) expect_whole(tensor);
  tensors.clear();
  const c10::DataPtr all = memory.allocate(kRange - kMebi);
  EXPECT_GT(memory.high_water(), kRange - kMebi);
}

}  // namespace
}  // namespace finetune
