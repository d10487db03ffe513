#include "src/config/field_error.h"

#include "gtest/gtest.h"
#include "src/base/annotate.h"
#include "src/config/config.h"

namespace finetune {
namespace {

TEST(FieldErrorTest, KnowsItsField) {
  const absl::Status error = FieldError("runtime.device", "is CUDA: there is no GPU");
  EXPECT_EQ(error.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(error.message(), "runtime.device: is CUDA: there is no GPU");
  EXPECT_EQ(FieldOf(error), "runtime.device");
}

TEST(FieldErrorTest, OtherErrorsHaveNoField) {
  EXPECT_EQ(FieldOf(absl::InvalidArgumentError("runtime.device: is CUDA")), "");
  EXPECT_EQ(FieldOf(absl::OkStatus()), "");
}

TEST(FieldErrorTest, KeepsItsFieldWhenAnnotated) {
  EXPECT_EQ(FieldOf(Annotate(FieldError("comm.backend", "is NCCL"), "rank 3")), "comm.backend");
}

TEST(FieldErrorTest, GetsThePlaceOfItsFieldOnce) {
  LoadedConfig loaded;
  loaded.file = "a.pbtxt";
  loaded.origins["runtime.device"] = {"b.pbtxt", 3, 5, {}};
  const absl::Status error = FieldError("runtime.device", "is CUDA");
  const absl::Status placed = loaded.WithPlace(error);
  EXPECT_EQ(placed.message(), "b.pbtxt:3:5: runtime.device: is CUDA");
  EXPECT_EQ(placed.code(), error.code());
  EXPECT_EQ(loaded.WithPlace(placed), placed);
  EXPECT_EQ(loaded.WithPlace(FieldError("name", "is empty")).message(), "a.pbtxt: name: is empty");
  EXPECT_EQ(loaded.WithPlace(absl::InternalError("no field")).message(), "no field");
  EXPECT_TRUE(loaded.WithPlace(absl::OkStatus()).ok());
}

}  // namespace
}  // namespace finetune
