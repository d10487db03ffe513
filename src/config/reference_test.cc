#include "src/config/reference.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

std::string Text(absl::string_view path) {
  const absl::StatusOr<std::string> text = DescribeField(path);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.value_or("");
}

const ValueField* Find(const std::vector<ValueField>& fields, const std::string& path) {
  const auto found = std::find_if(fields.begin(), fields.end(),
                                  [&](const ValueField& field) { return field.path == path; });
  return found == fields.end() ? nullptr : &*found;
}

TEST(DescribeField, SaysTypeDefaultAndComment) {
  EXPECT_THAT(Text("optimizer.sgd.momentum"),
              StartsWith("optimizer.sgd.momentum: number (default 0)"));
  EXPECT_THAT(Text("data.train.prefetch"),
              StartsWith("data.train.prefetch: whole number (default 2)"));
  EXPECT_THAT(Text("model.head.topk"), AllOf(StartsWith("model.head.topk: list of whole number"),
                                             HasSubstr("The k of each top-k accuracy to report.")));
  EXPECT_THAT(Text("model.backbone.frozen_stages"),
              AllOf(HasSubstr("(default -1)"), HasSubstr("-1 none, 0 the stem")));
}

TEST(DescribeField, ListsTheFieldsOfAMessageWithTheirComments) {
  const std::string sgd = Text("optimizer.sgd");
  EXPECT_THAT(sgd, StartsWith("optimizer.sgd: SgdConfig, instead of adamw, lars, lamb, rmsprop\n"));
  EXPECT_THAT(sgd, HasSubstr("PyTorch's SGD: g += weight_decay * w"));
  EXPECT_THAT(sgd, HasSubstr("\n  lr: number\n"));
  EXPECT_THAT(sgd, HasSubstr("\n  nesterov: true|false (default false)\n"));
}

TEST(DescribeField, ExplainsTheValuesOfAnEnum) {
  const std::string text = Text("runtime.precision");
  EXPECT_THAT(text, StartsWith("runtime.precision: FLOAT32|BFLOAT16|FASTEST (default FLOAT32)\n"));
  EXPECT_THAT(text, HasSubstr("BFLOAT16: Feature maps and convolutions in bfloat16"));
}

TEST(DescribeField, PrintsDefaultsWithTheFewestDigits) {
  EXPECT_THAT(Text("optimizer.ema.warmup.power"), HasSubstr("(default 0.6666666666666666)"));
  EXPECT_THAT(Text("data.train.pipeline[0].random_resized_crop.max_ratio"),
              HasSubstr("(default 1.3333333)"));
  EXPECT_THAT(Text("optimizer.adamw.epsilon"), HasSubstr("(default 1e-08)"));
}

TEST(DescribeField, TakesAPathAsSetDoes) {
  EXPECT_THAT(Text("data.train.pipeline[0].random_crop.size"), HasSubstr("size: whole number"));
}

TEST(DescribeField, ListsTheWholeConfigForAnEmptyPath) {
  EXPECT_THAT(Text(""), AllOf(HasSubstr("\n  optimizer: OptimizerConfig\n"),
                              HasSubstr("\n  runtime: RuntimeConfig\n")));
}

TEST(DescribeField, NamesTheFieldThatWasMeant) {
  EXPECT_EQ(DescribeField("optimizer.sdg").status().message(),
            "optimizer.sdg: no such field in OptimizerConfig; did you mean sgd?");
  EXPECT_TRUE(absl::IsInvalidArgument(DescribeField("trian").status()));
}

TEST(DescribeField, HasLinesThatFitAScreen) {
  for (const ValueField& field : ValueFields()) {
    for (const absl::string_view line : absl::StrSplit(Text(field.path), '\n')) {
      EXPECT_THAT(line, SizeIs(Le(100)));
    }
  }
}

// ValueFields() lists exactly the fields that --set accepts, and each of them has help.
TEST(ValueFields, AreThoseThatSetTakes) {
  const std::vector<ValueField> fields = ValueFields();
  ASSERT_NE(Find(fields, "optimizer.sgd.lr"), nullptr);
  EXPECT_THAT(Find(fields, "optimizer.sgd.lr")->values, IsEmpty());
  ASSERT_NE(Find(fields, "runtime.device"), nullptr);
  EXPECT_THAT(Find(fields, "runtime.device")->values, ElementsAre("AUTO", "CPU", "CUDA"));
  ASSERT_NE(Find(fields, "optimizer.sgd.nesterov"), nullptr);
  EXPECT_THAT(Find(fields, "optimizer.sgd.nesterov")->values, ElementsAre("true", "false"));
  EXPECT_NE(Find(fields, "data.train.pipeline[0].random_crop.size"), nullptr);
  // "import" can be set in a file only.
  EXPECT_EQ(Find(fields, "import"), nullptr);
  for (const ValueField& field : fields) EXPECT_THAT(Text(field.path), Not(IsEmpty()));
}

}  // namespace
}  // namespace finetune
