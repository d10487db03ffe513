#include "src/train/torch_error.h"

#include <c10/util/Exception.h>

#include <new>
#include <stdexcept>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string H200() { return DescribeGpu("NVIDIA H200", 5368709120, 150109880320); }

template <typename Throw>
absl::Status StatusOf(Throw&& throws, const std::function<std::string()>& gpu = H200) {
  try {
    throws();
  } catch (...) {
    return CurrentException(gpu);
  }
  return absl::OkStatus();
}

TEST(CurrentExceptionTest, AFullGpuIsNamedWithItsMemoryAndTheField) {
  const absl::Status status = StatusOf([] {
    throw c10::OutOfMemoryError({__func__, __FILE__, __LINE__}, "tried to allocate 20.00 GiB");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("tried to allocate 20.00 GiB"), HasSubstr("data.train.micro_batch_size"),
            HasSubstr("(the GPU is NVIDIA H200, 5.0 of its 139.8 GiB of memory are free)")));
}

TEST(CurrentExceptionTest, AFullGpuIsRecognizedByTheErrorsOfCudasLibraries) {
  for (const char* what : {"CUDA error: out of memory", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
                           "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate()"}) {
    const absl::Status status = StatusOf([&] { TORCH_CHECK(false, what); });
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(what), HasSubstr("NVIDIA H200")));
  }
}

TEST(CurrentExceptionTest, AFullHostIsToldWithTheFieldsThatHelp) {
  for (const absl::Status& status :
       {StatusOf([] { throw std::bad_alloc(); }), StatusOf([] {
          TORCH_CHECK(false, "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9");
        })}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("out of memory: "), HasSubstr("data.train.micro_batch_size"),
                      HasSubstr("data.val.batch_size")));
  }
}

TEST(CurrentExceptionTest, AnErrorOfCudasIsNamedWithTheGpu) {
  for (const char* what : {"CUDA error: an illegal memory access was encountered",
                           "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"}) {
    const absl::Status status = StatusOf([&] { TORCH_CHECK(false, what); });
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(what), HasSubstr("NVIDIA H200")));
  }
}

TEST(CurrentExceptionTest, AGpuThatDoesNotAnswerLeavesTheMessageAlone) {
  const absl::Status status =
      StatusOf([] { TORCH_CHECK(false, "CUDA error: unknown"); }, [] { return std::string(); });
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("CUDA error: unknown"), Not(HasSubstr("GPU is"))));
}

TEST(CurrentExceptionTest, OtherErrorsDoNotNameTheGpu) {
  for (const absl::Status& status :
       {StatusOf([] { throw std::bad_alloc(); }), StatusOf([] { TORCH_CHECK(false, "sizes"); }),
        StatusOf([] { throw std::runtime_error("other"); })}) {
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("NVIDIA")));
  }
}

}  // namespace
}  // namespace finetune
