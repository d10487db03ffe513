#include "src/base/system_error.h"

#include <cerrno>

#include "gtest/gtest.h"

namespace finetune {
namespace {

TEST(SystemError, SaysWhatFailedOnWhichPathAndWhy) {
  EXPECT_EQ(SystemError("cannot open", "a.pth", ENOENT),
            absl::NotFoundError("cannot open a.pth: No such file or directory"));
}

TEST(SystemError, CodeTellsWhetherTheUserCanHelp) {
  EXPECT_EQ(SystemError("", "", ENOTDIR).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(SystemError("", "", EISDIR).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SystemError("", "", EROFS).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(SystemError("", "", EDQUOT).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(SystemError("", "", EIO).code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace finetune
