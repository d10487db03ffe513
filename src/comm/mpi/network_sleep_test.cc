#include "src/comm/mpi/network_sleep.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "gtest/gtest.h"

namespace finetune {
namespace {

TEST(NetworkSleepTest, EndsWhenSomethingIsReadyAndElseInTime) {
  const int instance = epoll_create1(0);
  const int ready = eventfd(0, EFD_NONBLOCK);
  epoll_event event = {EPOLLIN, {}};
  ASSERT_EQ(epoll_ctl(instance, EPOLL_CTL_ADD, ready, &event), 0);
  NetworkSleep sleep;
  EXPECT_FALSE(sleep.Sleep(absl::Milliseconds(1)));
  const uint64_t one = 1;
  ASSERT_EQ(write(ready, &one, sizeof(one)), ssize_t{sizeof(one)});
  // The test would time out if these sleeps did not end at once.
  EXPECT_TRUE(sleep.Sleep(absl::Hours(1)));
  EXPECT_TRUE(sleep.Sleep(absl::Hours(1)));
  uint64_t count = 0;
  ASSERT_EQ(read(ready, &count, sizeof(count)), ssize_t{sizeof(count)});
  EXPECT_FALSE(sleep.Sleep(absl::Milliseconds(1)));
  // An epoll instance that has been closed does not end a sleep.
  close(instance);
  EXPECT_FALSE(sleep.Sleep(absl::Milliseconds(1)));
  EXPECT_FALSE(sleep.Sleep(absl::Milliseconds(1)));
  close(ready);
}

TEST(NetworkSleepTest, WithNothingToWaitForItSleeps) {
  NetworkSleep sleep;
  EXPECT_FALSE(sleep.Sleep(absl::Microseconds(10)));
}

}  // namespace
}  // namespace finetune
