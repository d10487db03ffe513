#include "src/checkpoint/writer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>

#include <filesystem>
#include <limits>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/checkpoint/reader.h"

namespace finetune {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Path() { return testing::TempDir() + "/written.pth"; }

Value RoundTrip(const Value& value) {
  const absl::Status written = WriteTorchFile(Path(), value);
  EXPECT_TRUE(written.ok()) << written;
  absl::StatusOr<Value> read = ReadTorchFile(Path());
  EXPECT_TRUE(read.ok()) << read.status();
  return read.ok() ? *read : Value();
}

TEST(Writer, WritesValuesThatReadBackEqual) {
  const std::string text = "line\n\"\xC3\xA9\xF0\x9F\x98\x80\"";
  Value::Dict meta;
  meta.Append("epoch", 3);
  meta.Append("iteration", int64_t{1} << 40);
  meta.Append("least", std::numeric_limits<int64_t>::min());
  meta.Append("negative", -1);
  meta.Append("accuracy", 0.1);
  meta.Append("config", text);
  meta.Append("done", true);
  meta.Append("nothing", Value());
  meta.Append("classes", Value::List{"cat", "dog"});
  meta.Append("empty", Value::List{});
  Value::Dict numbered;
  numbered.Append(0, "zero");
  meta.Append("numbered", numbered);
  Value::Dict root;
  root.Append("meta", meta);
  root.Append("state_dict", Value::FromTensors({{"w", at::arange(6).reshape({2, 3})}}));

  const Value read = RoundTrip(root);
  const Value back = *read.Get("meta");
  EXPECT_EQ(*back.GetInt("epoch"), 3);
  EXPECT_EQ(*back.GetInt("iteration"), int64_t{1} << 40);
  EXPECT_EQ(*back.GetInt("least"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(*back.GetInt("negative"), -1);
  EXPECT_EQ(*back.GetDouble("accuracy"), 0.1);
  EXPECT_EQ(*back.GetString("config"), text);
  EXPECT_EQ(*back.GetBool("done"), true);
  EXPECT_TRUE(back.Get("nothing")->is_none());
  EXPECT_THAT(*back.GetStrings("classes"), ElementsAre("cat", "dog"));
  EXPECT_TRUE(back.GetStrings("empty")->empty());
  EXPECT_EQ(*back.Get("numbered")->dict()->entries().at(0).first.integer(), 0);
  EXPECT_TRUE(
      at::equal(read.GetTensors("state_dict")->at(0).tensor, at::arange(6).reshape({2, 3})));
  EXPECT_EQ(ReadStateDict(Path())->tensors.at(0).name, "w");
}

TEST(Writer, WritesTensorsOfEveryTypeAndLayoutContiguous) {
  const at::Tensor base = at::arange(24).reshape({1, 2, 3, 4});
  TensorList tensors;
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16, at::kLong,
                                    at::kInt, at::kShort, at::kChar, at::kByte, at::kBool}) {
    tensors.push_back({c10::toString(type), base.to(type)});
  }
  tensors.push_back({"transposed", base.transpose(1, 3)});
  tensors.push_back({"channels_last", base.contiguous(at::MemoryFormat::ChannelsLast)});
  tensors.push_back({"slice", base.slice(3, 1, 3)});
  tensors.push_back({"scalar", base.sum()});
  tensors.push_back({"empty", base.slice(1, 0, 0)});
  tensors.push_back({"with gradient", base.to(at::kFloat).requires_grad_()});

  Value::Dict root;
  root.Append("tensors", Value::FromTensors(tensors));
  const absl::StatusOr<TensorList> read = RoundTrip(root).GetTensors("tensors");
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const NamedTensor& one = read->at(i);
    EXPECT_EQ(one.name, tensors[i].name);
    EXPECT_EQ(one.tensor.scalar_type(), tensors[i].tensor.scalar_type()) << one.name;
    EXPECT_EQ(one.tensor.sizes(), tensors[i].tensor.sizes()) << one.name;
    EXPECT_TRUE(one.tensor.is_contiguous()) << one.name;
    EXPECT_TRUE(at::equal(one.tensor, tensors[i].tensor.detach())) << one.name;
  }
}

TEST(Writer, WritesSharedMemoryOnceAndAViewsPartOnly) {
  const at::Tensor flat = at::randn({100'000});
  const auto size_of = [](const TensorList& tensors) {
    EXPECT_TRUE(WriteTorchFile(Path(), Value::FromTensors(tensors)).ok());
    return std::filesystem::file_size(Path());
  };
  EXPECT_LT(size_of({{"a", flat}, {"b", flat}}), 410'000u);
  EXPECT_LT(size_of({{"part", flat.slice(0, 50'000, 50'100)}}), 4'000u);
  // The memory of two tensors that share it but have different shapes must be written only once.
  const Value read = RoundTrip(Value::FromTensors({{"a", flat}, {"b", flat.view({100, 1000})}}));
  EXPECT_TRUE(read.GetTensor("b")->is_alias_of(*read.GetTensor("a")));
  EXPECT_EQ(read.GetTensor("b")->dim(), 2);
}

TEST(Writer, ReplacesBytesThatAreNotUtf8) {
  Value::Dict root;
  root.Append("config", std::string("a\xff\xc3\x28\xed\xa0\x80z\xf0\x9f"));
  EXPECT_EQ(
      *RoundTrip(root).GetString("config"),
      "a\xEF\xBF\xBD\xEF\xBF\xBD(\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(Writer, NamesAValueItCannotWriteAndKeepsTheOldFile) {
  ASSERT_TRUE(WriteTorchFile(Path(), Value(1)).ok());
  Value::Dict inner;
  inner.Append("x", Value::List{1, Value::Opaque{"some.Class"}});
  Value::Dict root;
  root.Append("meta", inner);
  const absl::Status status = WriteTorchFile(Path(), root);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("written.pth"), HasSubstr("meta: x: 1"), HasSubstr("some.Class")));
  EXPECT_EQ(*ReadTorchFile(Path())->integer(), 1);
  EXPECT_THAT(std::string(WriteTorchFile("/nowhere/x.pth", Value(1)).message()),
              HasSubstr("/nowhere/x.pth"));
}

TEST(Snapshot, IsIndependentOfLaterTraining) {
  at::Tensor w = at::full({1000}, 1.0f);
  Value::Dict root;
  root.Append("state_dict", Value::FromTensors({{"w", w}, {"transposed", w.view({10, 100}).t()}}));
  root.Append("meta", Value::List{1, at::full({3}, 7)});
  Snapshotter snapshotter;
  const Value copy = snapshotter.Take(root);
  absl::Status written;
  std::thread writer([&] { written = WriteTorchFile(Path(), copy); });
  w.fill_(2.0f);
  writer.join();
  ASSERT_TRUE(written.ok()) << written;
  const absl::StatusOr<Value> read = ReadTorchFile(Path());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(at::equal(*read->Get("state_dict")->GetTensor("w"), at::full({1000}, 1.0f)));
  EXPECT_EQ(read->Get("state_dict")->GetTensor("transposed")->size(0), 100);
  EXPECT_TRUE(at::equal(*read->Get("meta")->list()->at(1).tensor(), at::full({3}, 7)));
}

TEST(Snapshot, CopiesATensorThatIsThereTwiceOnce) {
  const at::Tensor frozen = at::full({1000}, 1.0f);
  Value::Dict root;
  root.Append("state_dict", Value::FromTensors({{"frozen", frozen}}));
  root.Append("state_dict_ema", Value::FromTensors({{"frozen", frozen}}));
  Snapshotter snapshotter;
  const Value copy = snapshotter.Take(root);
  const at::Tensor one = *copy.Get("state_dict")->GetTensor("frozen");
  EXPECT_TRUE(at::equal(one, frozen));
  EXPECT_FALSE(one.is_alias_of(frozen));
  EXPECT_EQ(one.const_data_ptr(),
            copy.Get("state_dict_ema")->GetTensor("frozen")->const_data_ptr());
}

TEST(Snapshot, ReusesMemoryThatNobodyHolds) {
  const Value root = Value::FromTensors({{"w", at::full({1000}, 1.0f)}});
  Snapshotter snapshotter;
  const void* first;
  {
    const Value copy = snapshotter.Take(root);
    first = copy.GetTensor("w")->const_data_ptr();
  }
  const Value held = snapshotter.Take(root);
  EXPECT_EQ(held.GetTensor("w")->const_data_ptr(), first);
  EXPECT_NE(snapshotter.Take(root).GetTensor("w")->const_data_ptr(), first);
}

}  // namespace
}  // namespace finetune
