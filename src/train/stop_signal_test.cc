#include "src/train/stop_signal.h"

#include "gtest/gtest.h"

namespace finetune {
namespace {

TEST(StopSignal, NotesWhatAsksTheRunToStop) {
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) {
    const StopSignal stop;
    EXPECT_EQ(stop.received(), 0);
    raise(signal);
    EXPECT_EQ(stop.received(), signal);
  }
}

TEST(StopSignal, OnlyASecondInterruptEndsTheProcessAtOnce) {
  {
    const StopSignal stop;
    raise(SIGTERM);
    raise(SIGUSR1);
    raise(SIGTERM);
    EXPECT_EQ(stop.received(), SIGTERM);
  }
  EXPECT_EXIT(
      {
        const StopSignal stop;
        raise(SIGINT);
        raise(SIGINT);
      },
      testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace finetune
