#include "src/checkpoint/own_metadata.h"

#include <ATen/ops/arange.h>

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/checkpoint/own_checkpoint.h"
#include "src/checkpoint/reader.h"
#include "src/checkpoint/safetensors_writer.h"

namespace finetune {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Value Meta() {
  Value::Dict train;
  train.Append("split", "train");
  train.Append("pictures", 30);
  train.Append("encoded", true);
  Value::Dict data;
  data.Append("mean", Value::List{127.0, 1.0 / 3});
  data.Append("std", Value::List{58.4, 1e-30});
  data.Append("train", train);
  Value::Dict meta;
  AppendWriter(&meta);
  meta.Append("CLASSES", Value::List{"b\"ear", "\xc3\xa4rger", ""});
  meta.Append("cfg", "name: \"a\"\n");
  meta.Append("data", data);
  return meta;
}

std::string ErrorOf(const TextEntries& entries) {
  return std::string(EntriesToMeta(entries).status().message());
}

TEST(OwnMetadata, GivesTheSameMetaBack) {
  const auto read = EntriesToMeta(MetaToEntries(Meta()));
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_TRUE(read->has_value());
  const Value& meta = **read;
  EXPECT_TRUE(NamesOwnWriter(meta));
  EXPECT_EQ(*meta.GetInt("format_version"), kCheckpointFormatVersion);
  EXPECT_THAT(*meta.GetStrings("CLASSES"), ElementsAre("b\"ear", "\xc3\xa4rger", ""));
  EXPECT_EQ(*meta.GetString("cfg"), "name: \"a\"\n");
  const Value data = *meta.Get("data");
  const Value::List& mean = *data.Get("mean")->list();
  ASSERT_EQ(mean.size(), 2u);
  EXPECT_EQ(*mean[0].real(), 127);
  EXPECT_EQ(*mean[1].real(), 1.0 / 3);
  EXPECT_EQ(*data.Get("std")->list()->at(1).real(), 1e-30);
  const Value train = *data.Get("train");
  EXPECT_EQ(*train.GetString("split"), "train");
  EXPECT_EQ(*train.GetInt("pictures"), 30);
  EXPECT_EQ(*train.GetBool("encoded"), true);
  EXPECT_FALSE(data.Get("val").ok());
}

TEST(OwnMetadata, OfAnotherProgramIsNotRead) {
  for (const TextEntries& entries :
       {TextEntries(), TextEntries{{"format", "pt"}, {"class_names", "cat"}},
        TextEntries{{"writer", "timm 1.0"}, {"class_names", "cat"}}}) {
    const auto read = EntriesToMeta(entries);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_FALSE(read->has_value());
  }
}

TEST(OwnMetadata, RefusesTextsOfAnotherKindWithTheEntrysName) {
  const auto error = [](const char* name, const std::string& text) {
    return ErrorOf({{"writer", "finetune 0.1.0"}, {name, text}});
  };
  EXPECT_EQ(error("class_names", "[\"cat\"]"), "");
  EXPECT_EQ(error("class_names", "cat, dog"),
            "the entry \"class_names\" of its __metadata__: found \"cat, dog\", expected a JSON "
            "list of texts or numbers");
  for (const char* text : {"", "{}", "3", "[\"cat\"", "[\"cat\"] x", "[[\"cat\"]]", "[null]",
                           "[18446744073709551615]", "[1e999]", "[\"\xff\"]"}) {
    EXPECT_THAT(error("class_names", text), HasSubstr("the entry \"class_names\"")) << text;
  }
  EXPECT_THAT(error("format_version", "[1]"), HasSubstr("expected an integer"));
  EXPECT_THAT(error("train_data", "[]"), HasSubstr("expected a JSON object"));
  EXPECT_THAT(error("train_data", R"({"a":1,"a":2})"), HasSubstr("expected a JSON object"));
  EXPECT_THAT(error("mean", std::string(1 << 20, '[')),
              AllOf(HasSubstr("the entry \"mean\""), testing::SizeIs(testing::Le(500u))));
}

TEST(OwnMetadata, RefusesMoreThanItsLimit) {
  EXPECT_THAT(ErrorOf({{"writer", "finetune 0.1.0"}, {"config", std::string(17 << 20, ' ')}}),
              HasSubstr("bytes, expected at most 16777216"));
}

class OwnSafetensorsTest : public testing::Test {
 protected:
  void Write(const TextEntries& metadata) {
    const absl::Status written =
        WriteSafetensors(path_, {{"meta", at::arange(3)}, {"a.weight", at::arange(6)}}, metadata);
    ASSERT_TRUE(written.ok()) << written;
  }

  const std::string path_ = EmptyTestFolder() + "/a.safetensors";
};

TEST_F(OwnSafetensorsTest, ReadsAsACheckpointWithMetaAndStateDict) {
  Write(MetaToEntries(Meta()));
  const absl::StatusOr<Value> root = ReadTorchFile(path_);
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_TRUE(CheckNamesWriter(*root).ok());
  EXPECT_EQ(root->GetTensors("state_dict")->size(), 2u);
  const absl::StatusOr<Value> meta = ReadTorchFile(path_, {"meta"});
  ASSERT_TRUE(meta.ok()) << meta.status();
  EXPECT_EQ(*meta->Get("meta")->GetString("cfg"), "name: \"a\"\n");
  EXPECT_FALSE(meta->Get("state_dict").ok());
  const absl::StatusOr<StateDict> state = ReadStateDict(path_);
  ASSERT_TRUE(state.ok()) << state.status();
  ASSERT_EQ(state->tensors.size(), 2u);
  EXPECT_THAT(state->notes, testing::IsEmpty());
}

TEST_F(OwnSafetensorsTest, OfAnotherWriterReadsAsTensorsAlone) {
  Write({{"format", "pt"}, {"class_names", "cat"}});
  const absl::StatusOr<Value> root = ReadTorchFile(path_);
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(root->GetTensor("a.weight")->numel(), 6);
  EXPECT_EQ(ReadTorchFile(path_, {"meta"})->GetTensor("meta")->numel(), 3);
  EXPECT_FALSE(ReadTorchFile(path_, {"cfg"})->Get("cfg").ok());
}

TEST_F(OwnSafetensorsTest, IsRefusedWhereItsTensorsDoNotHaveTheirSum) {
  Write(MetaToEntries(Meta()));
  std::string bytes = *ReadFile(path_);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  ASSERT_TRUE(WriteFileAtomically(path_, bytes).ok());
  const absl::Status status = ReadStateDict(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("a.safetensors: the SHA-256 of its tensors is "),
                    HasSubstr("the file is damaged, or its tensors were changed")));
  // The metadata alone can still be read.
  EXPECT_TRUE(ReadTorchFile(path_, {"meta"}).ok());
}

TEST_F(OwnSafetensorsTest, OfMalformedMetadataIsRefusedWithTheFilesName) {
  Write({{"writer", "finetune 0.1.0"}, {"class_names", "cat"}});
  EXPECT_THAT(std::string(ReadStateDict(path_).status().message()),
              HasSubstr("a.safetensors: the entry \"class_names\" of its __metadata__: found"));
}

}  // namespace
}  // namespace finetune
