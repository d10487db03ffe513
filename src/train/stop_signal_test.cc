#include "src/train/stop_signal.h"

#include <unistd.h>

#include "gtest/gtest.h"

namespace finetune {
namespace {

TEST(StopSignal, NotesSignalsThatAskToStop) {
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGHUP}) {
    const StopSignal stop(/*answers=*/false);
    EXPECT_EQ(stop.received(), 0);
    raise(signal);
    EXPECT_EQ(stop.received(), signal);
  }
}

TEST(StopSignal, OnlyASecondInterruptEndsTheProcessAtOnce) {
  {
    const StopSignal stop(/*answers=*/false);
    raise(SIGTERM);
    raise(SIGUSR1);
    raise(SIGTERM);
    EXPECT_EQ(stop.received(), SIGTERM);
  }
  EXPECT_EXIT(
      {
        const StopSignal stop(/*answers=*/false);
        raise(SIGINT);
        raise(SIGINT);
      },
      testing::KilledBySignal(SIGINT), "");
}

TEST(StopSignal, AnswersOnce) {
  testing::internal::CaptureStderr();
  {
    const StopSignal stop(/*answers=*/true);
    raise(SIGUSR1);
    raise(SIGUSR1);
    EXPECT_TRUE(stop.answered());
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "\nasked to stop: finishing this iteration and saving\n");
}

TEST(StopSignal, ExplainsASecondInterruptToThoseWhoSentTheFirst) {
  testing::internal::CaptureStderr();
  {
    const StopSignal stop(/*answers=*/true);
    raise(SIGINT);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "\nasked to stop: finishing this iteration and saving; a second Ctrl-C ends the "
            "program at once, without saving\n");
}

TEST(StopSignal, TakesTheLaunchersSigcontForAWarningOnce) {
  StopSignal stop(/*answers=*/false, /*launcher=*/getpid());
  EXPECT_FALSE(stop.TakeWarning());
  raise(SIGCONT);
  EXPECT_TRUE(stop.TakeWarning());
  EXPECT_FALSE(stop.TakeWarning());
  EXPECT_EQ(stop.received(), 0);
}

TEST(StopSignal, IgnoresSigcontOfOtherProcesses) {
  StopSignal stop(/*answers=*/false, /*launcher=*/getppid());
  raise(SIGCONT);
  EXPECT_FALSE(stop.TakeWarning());
}

// A launcher also sends SIGTERM when another rank has died, and then the run saves nothing.
TEST(StopSignal, PromisesNothingAfterATermination) {
  testing::internal::CaptureStderr();
  {
    const StopSignal stop(/*answers=*/true);
    raise(SIGTERM);
    EXPECT_FALSE(stop.answered());
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(StopSignal, NohupIsRespected) {
  const auto before = std::signal(SIGHUP, SIG_IGN);
  {
    const StopSignal stop(/*answers=*/false);
    raise(SIGHUP);
    EXPECT_EQ(stop.received(), 0);
  }
  EXPECT_EQ(std::signal(SIGHUP, before), SIG_IGN);
}

}  // namespace
}  // namespace finetune
