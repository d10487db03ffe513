#include "src/train/match_config.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/checkpoint/own_checkpoint.h"
#include "src/config/experiment.pb.h"

namespace finetune {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kAdvice[] = "Set them.";

LoadedConfig Load(const std::string& text) {
  const absl::StatusOr<LoadedConfig> loaded = LoadConfigText(text, "a.pbtxt", /*overrides=*/{});
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return loaded.value_or(LoadedConfig());
}

Value MetaWith(const std::string& config, const char* writer = "finetune 0.1.0") {
  Value::Dict meta;
  meta.Append("writer", writer);
  meta.Append("cfg", config);
  return meta;
}

// Returns whether the network differs between two configs of these models.
bool Differs(const ModelConfig& saved, const ModelConfig& used) {
  LoadedConfig one, other;
  *one.config.mutable_model() = saved;
  *other.config.mutable_model() = used;
  return !NetworkDifferences(one, other, "model").empty();
}

// Sets the field, which is not a message, to a value that is not its default. Returns false if the
// field's type has no other value.
bool Change(const FieldDescriptor* field, Message* message) {
  const auto* const reflection = message->GetReflection();
  if (field->is_repeated()) {
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        reflection->AddString(message, field, "x");
        return true;
      case FieldDescriptor::CPPTYPE_INT32:
        reflection->AddInt32(message, field, 3);
        return true;
      case FieldDescriptor::CPPTYPE_FLOAT:
        reflection->AddFloat(message, field, 3);
        return true;
      default:
        ADD_FAILURE() << field->full_name() << ": this test has no value for such a list";
        return false;
    }
  }
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      reflection->SetInt32(message, field, field->default_value_int32() + 1);
      return true;
    case FieldDescriptor::CPPTYPE_FLOAT:
      reflection->SetFloat(message, field, field->default_value_float() + 0.5F);
      return true;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      reflection->SetDouble(message, field, field->default_value_double() + 0.5);
      return true;
    case FieldDescriptor::CPPTYPE_BOOL:
      reflection->SetBool(message, field, !field->default_value_bool());
      return true;
    case FieldDescriptor::CPPTYPE_STRING:
      reflection->SetString(message, field, "x");
      return true;
    case FieldDescriptor::CPPTYPE_ENUM:
      for (int i = 0; i < field->enum_type()->value_count(); ++i) {
        if (field->enum_type()->value(i) == field->default_value_enum()) continue;
        reflection->SetEnum(message, field, field->enum_type()->value(i));
        return true;
      }
      return false;
    default:
      ADD_FAILURE() << field->full_name() << ": this test has no value for such a field";
      return false;
  }
}

// Visits every field below `type` that is not a message, with the fields that lead to it.
void Visit(const Descriptor* type, std::vector<const FieldDescriptor*>* path,
           const std::function<void(const std::vector<const FieldDescriptor*>&)>& visit) {
  for (int i = 0; i < type->field_count(); ++i) {
    path->push_back(type->field(i));
    if (type->field(i)->message_type() == nullptr) {
      visit(*path);
    } else {
      Visit(type->field(i)->message_type(), path, visit);
    }
    path->pop_back();
  }
}

// A field that is added to experiment.proto is compared, unless it is added to the list in
// match_config.cc and to the one here.
TEST(NetworkDifferences, CompareEveryFieldOfTheModelThatIsNotKnownToBeHarmless) {
  const std::set<std::string> harmless = {
      "pretrained",       "frozen_stages",   "norm_eval",     "drop_path", "dropout",
      "hidden_dropout",   "label_smoothing", "class_weights", "topk",      "zero_init_residual",
      "layer_scale_init", "layer_scale",     "cross_entropy", "bce",       "focal",
      "image_size"};
  int compared = 0;
  std::vector<const FieldDescriptor*> start;
  Visit(ModelConfig::descriptor(), &start, [&](const std::vector<const FieldDescriptor*>& path) {
    ModelConfig saved;
    Message* message = &saved;
    bool expected = true;
    std::string name = "model";
    for (const FieldDescriptor* field : path) {
      absl::StrAppend(&name, ".", field->name());
      expected = expected && !harmless.contains(field->name());
      if (field->message_type() == nullptr) break;
      ASSERT_FALSE(field->is_repeated()) << name << ": this test knows no lists of messages";
      message = message->GetReflection()->MutableMessage(message, field);
    }
    ModelConfig used = saved;
    message = &used;
    for (const FieldDescriptor* field : path) {
      if (field->message_type() == nullptr) break;
      message = message->GetReflection()->MutableMessage(message, field);
    }
    if (!Change(path.back(), message)) return;
    EXPECT_EQ(Differs(saved, used), expected) << name;
    compared += expected ? 1 : 0;
  });
  EXPECT_GT(compared, 10);
}

TEST(NetworkDifferences, TreatDefaultsAsFieldsThatAreNotSet) {
  const LoadedConfig set = Load(
      "model { backbone { resnet { depth: 50 style: PYTORCH stem: IMAGENET } } "
      "neck { kind: GLOBAL_AVERAGE_POOLING } head { num_classes: 4 label_smoothing: 0 } }");
  const LoadedConfig unset =
      Load("model { backbone { resnet {} frozen_stages: 2 } head { num_classes: 4 } }");
  EXPECT_THAT(NetworkDifferences(set, unset, "model"), IsEmpty());
  EXPECT_THAT(NetworkDifferences(unset, set, "model"), IsEmpty());
}

TEST(NetworkDifferences, OfABackboneLeaveTheHeadOut) {
  const LoadedConfig saved = Load("model { backbone { resnet {} } head { num_classes: 4 } }");
  const LoadedConfig used = Load("model { backbone { resnet {} } head { num_classes: 5 } }");
  EXPECT_THAT(NetworkDifferences(saved, used, "model.backbone"), IsEmpty());
  EXPECT_EQ(NetworkDifferences(saved, used, "model").size(), 1u);
}

TEST(CheckNetwork, NamesTheFieldsBothValuesTheirPlaceAndTheAdvice) {
  const Value meta = MetaWith("model { backbone { resnet { depth: 50 } } }");
  const LoadedConfig used =
      Load("model { backbone { resnet { depth: 50\n style: CAFFE } } neck { kind: NONE } }");
  const absl::Status status = CheckNetwork(meta, used, kAdvice).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(std::string(status.message()),
            "its weights were trained in another network: model.backbone.resnet.style: found CAFFE "
            "(a.pbtxt:2:2), expected PYTORCH (not set); model.neck.kind: found NONE "
            "(a.pbtxt:2:26), expected GLOBAL_AVERAGE_POOLING (not set). In the config's network "
            "they would give wrong results. Set them.");
}

TEST(CheckNetwork, RefusesAnotherKindOfNetwork) {
  const Value meta = MetaWith("model { backbone { efficientnet { variant: 1 } } }");
  const absl::Status status =
      CheckNetwork(meta, Load("model { backbone { efficientnet_lite {} } }"), kAdvice).status();
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("model.backbone.efficientnet: found not set, expected { variant: 1 }"),
            HasSubstr("model.backbone.efficientnet_lite: found { } (a.pbtxt:1:20), expected "
                      "not set")));
}

TEST(CheckNetwork, AcceptsCheckpointsWithoutAConfigOfFinetune) {
  const LoadedConfig used = Load("model { backbone { lenet5 {} } }");
  const std::string other = "model { backbone { resnet {} } }";
  Value::Dict bare;
  bare.Append("writer", "finetune 0.1.0");
  for (const Value& meta :
       {Value(), Value(3), Value(bare), MetaWith("dict(type='ResNet')", "mmpretrain 1.2"),
        MetaWith(other, "another program")}) {
    const absl::StatusOr<std::string> warning = CheckNetwork(meta, used, kAdvice);
    ASSERT_TRUE(warning.ok()) << warning.status();
    EXPECT_EQ(*warning, "");
  }
}

TEST(CheckNetwork, WarnsOfAConfigThatCannotBeRead) {
  const absl::StatusOr<std::string> warning =
      CheckNetwork(MetaWith("model { unheard_of: 1 }"), Load(""), kAdvice);
  ASSERT_TRUE(warning.ok()) << warning.status();
  EXPECT_THAT(*warning, AllOf(HasSubstr("this version cannot read the config that it carries"),
                              HasSubstr("unheard_of")));
}

TEST(CheckFirstNetwork, RefusesADifferenceThatTheConfigDoesNotSet) {
  const Value meta = MetaWith("model { backbone { efficientnet { origin: PYTORCH } } }");
  const LoadedConfig unset = Load("model { backbone { efficientnet {} } }");
  EXPECT_EQ(std::string(CheckFirstNetwork(meta, unset).status().message()),
            "its weights were trained in another network: model.backbone.efficientnet.origin: "
            "found TENSORFLOW (not set), expected PYTORCH. Set these fields as expected, or to the "
            "values found if another network is meant");
  const LoadedConfig set = Load("model { backbone { efficientnet { origin: TENSORFLOW } } }");
  const absl::StatusOr<std::string> warning = CheckFirstNetwork(meta, set);
  ASSERT_TRUE(warning.ok()) << warning.status();
  EXPECT_EQ(*warning,
            "its weights were trained in another network: model.backbone.efficientnet.origin: "
            "found TENSORFLOW (a.pbtxt:1:35), expected PYTORCH");
}

TEST(CheckFirstNetwork, ComparesTheHeadOnlyWhereItIsLoaded) {
  const Value meta = MetaWith("model { backbone { resnet {} } neck { kind: NONE } }");
  const absl::StatusOr<std::string> backbone =
      CheckFirstNetwork(meta, Load("model { backbone { resnet {} } }"));
  ASSERT_TRUE(backbone.ok()) << backbone.status();
  EXPECT_EQ(*backbone, "");
  EXPECT_THAT(
      std::string(CheckFirstNetwork(
                      meta, Load("model { backbone { resnet {} pretrained { with_head: true } } }"))
                      .status()
                      .message()),
      HasSubstr("model.neck.kind: found GLOBAL_AVERAGE_POOLING (not set), expected NONE"));
}

TEST(DescribeChanges, ListsTheFieldsThatChangeWhatARunComputes) {
  const LoadedConfig saved = Load(
      "name: \"a\" optimizer { adamw { lr: 0.01 } ema { decay: 0.99 } } schedule { max_epochs: 2 } "
      "runtime { work_dir: \"x\" threads: 2 } data { train { workers: 1 } }");
  const LoadedConfig used = Load(
      "name: \"b\" optimizer { adamw { lr: 0.01 beta2: 0.95 } ema {} } schedule { max_epochs: 3 } "
      "runtime { work_dir: \"y\" threads: 1 } data { train { workers: 4 } }");
  EXPECT_EQ(DescribeChanges(saved, used),
            "the config has changed since the checkpoint was written: optimizer.adamw.beta2 is "
            "0.95 (a.pbtxt:1:40) and was 0.999 (not set); optimizer.ema.decay is 0.9999 (not set) "
            "and was 0.99; schedule.max_epochs is 3 (a.pbtxt:1:74) and was 2");
  EXPECT_EQ(DescribeChanges(used, used), "");
}

}  // namespace
}  // namespace finetune
