#include "src/host/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;

auto Limit(const std::string& name, int64_t free_bytes, int64_t total_bytes) {
  return testing::AllOf(Field(&MemoryLimit::name, name),
                        Field(&MemoryLimit::free_bytes, free_bytes),
                        Field(&MemoryLimit::total_bytes, total_bytes));
}

class MemoryLimits : public testing::Test {
 protected:
  void SetUp() override { root_ = EmptyTestFolder(); }

  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    ASSERT_TRUE(WriteFileAtomically(root_ + path, text).ok());
  }

  std::string root_;
};

TEST_F(MemoryLimits, TakesTheAvailableMemoryOfTheHost) {
  Write("/proc/meminfo", "MemTotal:       32000 kB\nMemFree:  10 kB\nMemAvailable:   2000 kB\n");
  EXPECT_THAT(FindMemoryLimits(root_), ElementsAre(Limit("the host", 2048000, 32768000)));
}

TEST_F(MemoryLimits, TakesEveryLimitOfVersion2UpToTheTop) {
  Write("/proc/self/cgroup", "0::/job/step\n");
  Write("/sys/fs/cgroup/job/step/memory.max", "max\n");
  Write("/sys/fs/cgroup/job/step/memory.current", "5\n");
  Write("/sys/fs/cgroup/job/memory.max", "1000\n");
  Write("/sys/fs/cgroup/job/memory.current", "700\n");
  Write("/sys/fs/cgroup/job/memory.stat", "anon 400\ninactive_file 200\nactive_file 50\n");
  Write("/sys/fs/cgroup/memory.max", "9000\n");
  Write("/sys/fs/cgroup/memory.current", "1000\n");
  EXPECT_THAT(FindMemoryLimits(root_),
              ElementsAre(Limit("the cgroup /job", 550, 1000), Limit("the cgroup /", 8000, 9000)));
}

TEST_F(MemoryLimits, TakesLimitsOfVersion1AlsoWhereAContainerHidesTheFolder) {
  Write("/proc/self/cgroup", "5:cpu,cpuacct:/x\n3:memory:/docker/ab12\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n");
  Write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1200\n");
  Write("/sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 300\n");
  EXPECT_THAT(FindMemoryLimits(root_), ElementsAre(Limit("the cgroup /", 100, 1000)));
}

TEST_F(MemoryLimits, LeavesOutWhatIsUnlimitedOrUnreadable) {
  EXPECT_THAT(FindMemoryLimits(root_), IsEmpty());
  Write("/proc/meminfo", "MemAvailable: many\n");
  Write("/proc/self/cgroup", "3:memory:/\n0::relative\nnonsense\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  Write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1200\n");
  EXPECT_THAT(FindMemoryLimits(root_), IsEmpty());
}

TEST(Memory, KnowsTheMemoryOfThisProcess) {
  EXPECT_GT(ResidentBytes(), 1 << 20);
  EXPECT_LT(ResidentBytes(), int64_t{1} << 40);
}

}  // namespace
}  // namespace finetune
