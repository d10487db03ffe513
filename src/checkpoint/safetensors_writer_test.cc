#include "src/checkpoint/safetensors_writer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/checkpoint/reader.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;

TEST(WriteSafetensors, ReaderGivesTheSameTensors) {
  const std::string path = EmptyTestFolder() + "/a.safetensors";
  const TensorList tensors = {
      {"scalar", at::ones({}, at::kLong)},
      {"permuted", at::arange(24, at::kFloat).view({2, 3, 4}).permute({2, 0, 1})},
      {"half", at::arange(5, at::kHalf)},
      {"bfloat16", at::arange(3, at::kBFloat16)},
      {"empty", at::zeros({0, 4})},
      {"bytes", at::arange(3, at::kByte)},
  };
  const absl::Status written = WriteSafetensors(path, tensors, {{"format", "pt"}});
  ASSERT_TRUE(written.ok()) << written;
  const absl::StatusOr<Value> root = ReadTorchFile(path);
  ASSERT_TRUE(root.ok()) << root.status();
  for (const NamedTensor& expected : tensors) {
    const absl::StatusOr<at::Tensor> found = root->GetTensor(expected.name);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->scalar_type(), expected.tensor.scalar_type()) << expected.name;
    EXPECT_TRUE(found->equal(expected.tensor)) << expected.name;
  }
}

TEST(WriteSafetensors, AlignsTensorsAndCarriesMetadata) {
  const std::string path = EmptyTestFolder() + "/a.safetensors";
  ASSERT_TRUE(WriteSafetensors(path, {{"byte", at::ones({1}, at::kByte)}, {"wide", at::ones({1})}},
                               {{"format", "pt"}, {"name", "\xff"}})
                  .ok());
  const absl::StatusOr<std::string> bytes = ReadFile(path);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  uint64_t size = 0;
  std::memcpy(&size, bytes->data(), sizeof(size));
  EXPECT_EQ(size % 8, 0);
  const auto header = nlohmann::json::parse(bytes->substr(8, size));
  EXPECT_EQ(header["__metadata__"]["format"], "pt");
  EXPECT_EQ(header["__metadata__"]["name"], "\xEF\xBF\xBD");
  EXPECT_EQ(header["__metadata__"]["tensors_sha256"].get<std::string>().size(), 64);
  EXPECT_EQ(header["wide"]["data_offsets"], nlohmann::json({0, 4}));
  EXPECT_EQ(header["byte"]["data_offsets"], nlohmann::json({4, 5}));
}

TEST(WriteSafetensors, RefusesTensorsThatTheFormatDoesNotHave) {
  const std::string path = EmptyTestFolder() + "/a.safetensors";
  EXPECT_THAT(WriteSafetensors(path, {{"z", at::zeros({1}, at::kComplexFloat)}}, {}).message(),
              HasSubstr("tensor \"z\" has the type ComplexFloat"));
  EXPECT_THAT(WriteSafetensors(path, {{"a", at::ones({1})}, {"a", at::ones({1})}}, {}).message(),
              HasSubstr("tensor \"a\": expected another name"));
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace finetune
