#include "src/checkpoint/reader.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/squeeze.h>
#include <ATen/ops/tensor.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/checkpoint/writer.h"

namespace finetune {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// Returns the path of a fixture. tests/fixtures/checkpoint/make_fixtures.py creates the fixtures.
std::string Fixture(const std::string& name) { return "tests/fixtures/checkpoint/" + name; }

std::string TemporaryFile(const std::string& bytes) {
  std::string path = testing::TempDir() + "/checkpoint";
  // The old file is removed first, because some file systems sync a file that is truncated and
  // written again, and the tests write thousands of files.
  std::filesystem::remove(path);
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

std::map<std::string, at::Tensor> TensorsOf(const std::string& path) {
  const absl::StatusOr<StateDict> state = ReadStateDict(path);
  EXPECT_TRUE(state.ok()) << state.status();
  std::map<std::string, at::Tensor> tensors;
  if (state.ok()) {
    for (const NamedTensor& one : state->tensors) tensors[one.name] = one.tensor;
  }
  return tensors;
}

std::string ErrorOf(const std::string& path, const std::string& key = "") {
  const absl::StatusOr<StateDict> state = ReadStateDict(path, key);
  EXPECT_FALSE(state.ok()) << path;
  return state.ok() ? "" : std::string(state.status().message());
}

// Returns a state dict with one tensor `name`, whose only element is `value`. Tests tell state
// dicts apart by `value`.
Value Weights(float value, const std::string& name = "w") {
  return Value::FromTensors({{name, at::tensor({value})}});
}

// Writes a checkpoint with these entries and returns its path.
std::string CheckpointOf(const std::vector<std::pair<std::string, Value>>& entries) {
  Value::Dict root;
  for (const auto& [key, value] : entries) root.Append(key, value);
  std::string path = testing::TempDir() + "/checkpoint.pth";
  EXPECT_TRUE(WriteTorchFile(path, root).ok());
  return path;
}

// Reads a state dict made by Weights() and returns its value.
float Taken(const std::string& path, const std::string& key = "") {
  const absl::StatusOr<StateDict> state = ReadStateDict(path, key);
  EXPECT_TRUE(state.ok()) << state.status();
  return state.ok() ? state->tensors.at(0).tensor.item<float>() : -1;
}

std::vector<std::string> Notes(const std::string& path, const std::string& key = "") {
  const absl::StatusOr<StateDict> state = ReadStateDict(path, key);
  EXPECT_TRUE(state.ok()) << state.status();
  return state.ok() ? state->notes : std::vector<std::string>();
}

at::Tensor Ramp(at::IntArrayRef shape, at::ScalarType type = at::kFloat) {
  return at::arange(c10::multiply_integers(shape), at::kFloat).reshape(shape).to(type);
}

std::string Safetensors(const std::string& header, size_t data_bytes) {
  const uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + header +
         std::string(data_bytes, '\0');
}

class AllFormats : public testing::TestWithParam<const char*> {};

TEST_P(AllFormats, ReadTensorsOfEveryKind) {
  std::map<std::string, at::Tensor> tensors = TensorsOf(Fixture(GetParam()));
  const at::Tensor base = Ramp({4, 3});
  const std::map<std::string, at::Tensor> expected = {
      {"conv.weight", Ramp({2, 3, 1, 2})},
      {"scalar", at::tensor({2.5f}).squeeze()},
      {"empty", Ramp({0, 3})},
      {"float16", Ramp({3}, at::kHalf)},
      {"bfloat16", Ramp({3}, at::kBFloat16)},
      {"float64", Ramp({3}, at::kDouble)},
      {"int64", at::tensor({int64_t{-1}, int64_t{1} << 40})},
      {"int32", Ramp({3}, at::kInt)},
      {"int16", Ramp({3}, at::kShort)},
      {"int8", at::tensor({-128, 127}).to(at::kChar)},
      {"uint8", at::tensor({0, 255}).to(at::kByte)},
      {"bool", at::tensor({1, 0, 1}).to(at::kBool)},
      {"shared_a", Ramp({6}).slice(0, 0, 4)},
      {"shared_b", Ramp({6}).slice(0, 2, 6)},
      {"column", base.select(1, 1)},
      {"transposed", base.t()},
      {"channels_last", Ramp({1, 2, 2, 2})},
      {"expanded", at::tensor({7.0f, 7.0f, 7.0f})},
  };
  EXPECT_EQ(tensors.size(), expected.size());
  for (const auto& [name, value] : expected) {
    ASSERT_TRUE(tensors[name].defined()) << name;
    EXPECT_EQ(tensors[name].scalar_type(), value.scalar_type()) << name;
    EXPECT_EQ(tensors[name].sizes(), value.sizes()) << name;
    EXPECT_TRUE(at::equal(tensors[name], value)) << name << "\n" << tensors[name];
  }
}

INSTANTIATE_TEST_SUITE_P(Reader, AllFormats,
                         testing::Values("kinds_zip.pth", "kinds_legacy.pth", "kinds.safetensors"));

TEST(Reader, SharesStorageAsTheFileDoes) {
  std::map<std::string, at::Tensor> tensors = TensorsOf(Fixture("kinds_zip.pth"));
  EXPECT_TRUE(tensors["shared_a"].is_alias_of(tensors["shared_b"]));
  EXPECT_FALSE(tensors["shared_a"].is_alias_of(tensors["column"]));
  EXPECT_TRUE(tensors["channels_last"].is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_FALSE(tensors["transposed"].is_contiguous());
}

TEST(Reader, ReadsTypesWithoutAStorageClass) {
  std::map<std::string, at::Tensor> tensors = TensorsOf(Fixture("new_types.pth"));
  EXPECT_EQ(tensors["uint16"].scalar_type(), at::kUInt16);
  EXPECT_EQ(tensors["uint16"].to(at::kInt)[1].item<int>(), 65535);
  EXPECT_EQ(tensors["uint64"].to(at::kLong)[0].item<int64_t>(), 3);
  EXPECT_EQ(tensors["f8"].to(at::kFloat)[0].item<float>(), 1.5f);
}

TEST(Reader, ReadsModulesStateDictsWithMetadataAndParameters) {
  std::map<std::string, at::Tensor> tensors = TensorsOf(Fixture("module.pth"));
  EXPECT_EQ(tensors.size(), 7u);
  EXPECT_TRUE(at::equal(tensors["0.weight"], at::tensor({0.5f, 0.5f}).view({2, 1, 1, 1})));
  EXPECT_EQ(tensors["1.num_batches_tracked"].item<int64_t>(), 0);
  EXPECT_TRUE(at::equal(TensorsOf(Fixture("parameter.pth"))["w"], Ramp({2})));
}

TEST(Reader, UnwrapsStateDictsAndStripsWrappersNames) {
  for (const char* name : {"wrapped.pth", "wrapped_model.pth"}) {
    std::map<std::string, at::Tensor> tensors = TensorsOf(Fixture(name));
    ASSERT_EQ(tensors.size(), 1u) << name;
    EXPECT_TRUE(at::equal(tensors["fc.weight"], Ramp({2}))) << name;
    EXPECT_THAT(Notes(Fixture(name)), IsEmpty()) << name;
  }
  EXPECT_EQ(TensorsOf(CheckpointOf({{"_orig_mod.module.w", at::tensor({1.0f})}})).count("w"), 1u);
}

// These are the keys that timm, torchvision, Lightning, DeepSpeed, DINO and others use.
TEST(Reader, TakesTheWeightsUnderEveryUsualKey) {
  for (const char* key : {"state_dict", "model", "model_state_dict", "net", "network", "weights",
                          "params", "module", "student"}) {
    const std::string path =
        CheckpointOf({{"epoch", 3}, {key, Weights(1)}, {"hyper_parameters", Value::Dict()}});
    EXPECT_EQ(Taken(path), 1) << key;
    EXPECT_EQ(Taken(path, key), 1) << key;
    EXPECT_THAT(Notes(path), IsEmpty()) << key;
  }
}

TEST(Reader, TakesTheOnlyWeightsWhateverTheirKey) {
  EXPECT_EQ(Taken(CheckpointOf({{"model_ema", Weights(2)}, {"args", "x"}})), 2);
  Value::Dict inner;
  inner.Append("teacher", Weights(3));
  EXPECT_EQ(Taken(CheckpointOf({{"run", inner}})), 3);
}

TEST(Reader, TakesTheUsualOfSeveralWeightsAndNamesTheOthers) {
  // The keys that timm uses for raw and averaged weights; below those of other programs.
  const std::string timm =
      CheckpointOf({{"state_dict_ema", Weights(2)}, {"state_dict", Weights(1)}});
  EXPECT_EQ(Taken(timm), 1);
  EXPECT_THAT(Notes(timm),
              ElementsAre(AllOf(HasSubstr("the weights are those in \"state_dict\" (raw); it also "
                                          "has \"state_dict_ema\" (averaged)"),
                                HasSubstr("(choose with --weights=ema or raw, with --key, or in a "
                                          "config with model.backbone.pretrained.key)"))));
  EXPECT_EQ(Taken(timm, "state_dict_ema"), 2);
  EXPECT_THAT(Notes(timm, "state_dict_ema"), ElementsAre(HasSubstr("\"state_dict\" (raw)")));

  const std::string torchvision = CheckpointOf(
      {{"model", Weights(1)}, {"optimizer", Weights(9)}, {"model_ema", Weights(2, "module.w")}});
  EXPECT_EQ(Taken(torchvision), 1);
  EXPECT_THAT(Notes(torchvision), ElementsAre(AllOf(HasSubstr("\"model_ema\" (averaged)"),
                                                    Not(HasSubstr("optimizer")))));
  EXPECT_EQ(Taken(torchvision, "model_ema"), 2);

  for (const char* raw : {"ema_state_dict", "current_model_state"}) {
    const std::string swapped = CheckpointOf({{"state_dict", Weights(2)}, {raw, Weights(1)}});
    EXPECT_EQ(Taken(swapped), 2);
    EXPECT_THAT(Notes(swapped), ElementsAre(AllOf(HasSubstr("\"state_dict\" (averaged)"),
                                                  HasSubstr(std::string(raw) + "\" (raw)"))));
  }
}

TEST(Reader, TakesTheRawOrTheAveragedWeightsAsTold) {
  const auto taken = [](const std::string& path, WeightsChoice choice) {
    const absl::StatusOr<StateDict> state = ReadStateDict(path, "", choice);
    EXPECT_TRUE(state.ok()) << state.status();
    return state.ok() ? state->tensors.at(0).tensor.item<float>() : -1;
  };
  for (const auto& [raw, averaged] :
       {std::pair("state_dict", "state_dict_ema"), std::pair("model", "model_ema"),
        std::pair("ema_state_dict", "state_dict")}) {
    const std::string path = CheckpointOf({{raw, Weights(1)}, {averaged, Weights(2)}});
    EXPECT_EQ(taken(path, WeightsChoice::kRaw), 1) << raw;
    EXPECT_EQ(taken(path, WeightsChoice::kAveraged), 2) << raw;
    EXPECT_EQ(taken(path, WeightsChoice::kAveragedIfAny), 2) << raw;
  }
}

TEST(Reader, RefusesToTakeAveragedWeightsThatAreNotThere) {
  const std::string path = CheckpointOf({{"state_dict", Weights(1)}, {"epoch", 3}});
  for (const WeightsChoice choice : {WeightsChoice::kRaw, WeightsChoice::kAveragedIfAny}) {
    EXPECT_TRUE(ReadStateDict(path, "", choice).ok());
  }
  const absl::StatusOr<StateDict> state = ReadStateDict(path, "", WeightsChoice::kAveraged);
  EXPECT_EQ(state.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(state.status().message()),
              HasSubstr("no averaged weights beside the raw ones; it has weights at "
                        "\"state_dict\". Leave out --weights=ema"));
}

TEST(Reader, ListsTheKeysWhereNoneIsUsualOrTheKeyIsNotThere) {
  const std::string path = CheckpointOf({{"a", Weights(1)}, {"b", Weights(2)}});
  EXPECT_THAT(ErrorOf(path),
              HasSubstr("weights in several entries: \"a\", \"b\"; choose one with --key, or in "
                        "a config with model.backbone.pretrained.key"));
  EXPECT_EQ(Taken(path, "b"), 2);
  EXPECT_THAT(ErrorOf(path, "c"),
              HasSubstr("no weights at the key \"c\"; it has some at \"a\", \"b\""));
  EXPECT_THAT(ErrorOf(Fixture("kinds.safetensors"), "model"),
              HasSubstr("no weights at the key \"model\"; it has some at the root"));
}

TEST(Reader, FollowsKeysIntoEntriesWhoseNamesHaveDots) {
  Value::Dict inner;
  inner.Append("ema.module", Weights(2));
  inner.Append("other", Weights(3));
  const std::string path = CheckpointOf({{"model", Weights(1)}, {"callbacks", inner}});
  EXPECT_EQ(Taken(path), 1);
  EXPECT_EQ(Taken(path, "callbacks.ema.module"), 2);
  EXPECT_EQ(Taken(path, "callbacks.other"), 3);
  // --weights chooses only between raw and averaged weights.
  EXPECT_THAT(Notes(path), ElementsAre(HasSubstr("(choose with --key, or in a config with")));
}

TEST(Reader, DoesNotTakeNumbersKeptAsTensorsForWeights) {
  Value::Dict averaging;
  averaging.Append("n_averaged", at::tensor({3.0f}).squeeze());
  EXPECT_THAT(Notes(CheckpointOf({{"averaging_state", averaging}, {"state_dict", Weights(1)}})),
              IsEmpty());
}

TEST(Reader, ReadsFilesWithoutChecksumsAndSaysSo) {
  EXPECT_TRUE(at::equal(TensorsOf(Fixture("no_checksums.pth"))["w"], Ramp({2})));
  EXPECT_THAT(Notes(Fixture("no_checksums.pth")), ElementsAre(HasSubstr("without checksums")));
}

TEST(Reader, ListsEntriesThatAreNotPlainTensorsBesideThePlainOnes) {
  for (const auto& [file, name, reason] :
       {std::tuple("sparse_entry.pth", "s",
                   "_rebuild_sparse_tensor\", which finetune does not know "
                   "and never runs; save the tensor's to_dense()"),
        std::tuple("opaque_entry.pth", "v", "evil.models.Net")}) {
    const absl::StatusOr<StateDict> state = ReadStateDict(Fixture(file));
    ASSERT_TRUE(state.ok()) << state.status();
    ASSERT_EQ(state->tensors.size(), 1u);
    EXPECT_EQ(state->tensors[0].name, "w");
    ASSERT_EQ(state->unreadable.size(), 1u);
    EXPECT_EQ(state->unreadable[0].name, name);
    EXPECT_THAT(state->unreadable[0].reason, HasSubstr(reason));
  }
}

TEST(Reader, ReadsSafetensorsThatBeginWithAPicklesFirstByte) {
  // A header of 0x80 or 0x7080 bytes makes the first byte of the file 0x80, with which a pickle
  // begins too. torchvision's ResNet-50 has a header of 0x7080 bytes.
  for (const size_t size : {0x80u, 0x7080u}) {
    std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
    header.resize(size, ' ');
    EXPECT_EQ(TensorsOf(TemporaryFile(Safetensors(header, 8))).count("a"), 1u) << size;
  }
}

TEST(Reader, ReadsNewerPickles) {
  const absl::StatusOr<Value> value = ReadTorchFile(Fixture("protocol4.pth"));
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_TRUE(at::equal(*value->GetTensor("w"), Ramp({3})));
  const Value::List& meta = *value->Get("meta")->list();
  ASSERT_EQ(meta.size(), 4u);
  EXPECT_EQ(*meta[0].integer(), 1);
  EXPECT_EQ(*meta[1].list()->at(0).string(), "two");
  EXPECT_EQ(meta[2].bytes()->bytes, "three");
  EXPECT_EQ(meta[3].opaque()->type, "int beyond 64 bits");
}

TEST(Reader, ReadsAnOptimisersStateByNumber) {
  const absl::StatusOr<Value> value = ReadTorchFile(Fixture("wrapped_model.pth"), {"optimizer"});
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(value->Get("model").status().code(), absl::StatusCode::kNotFound);
  const Value state = *value->Get("optimizer")->Get("state");
  const auto& [key, entry] = state.dict()->entries().at(0);
  EXPECT_EQ(*key.integer(), 0);
  EXPECT_TRUE(at::equal(*entry.GetTensor("momentum_buffer"), Ramp({2})));
}

TEST(Reader, ReadsOpenMmlabFilesAndKeepsTheirClassesAsNames) {
  for (const char* name : {"openmmlab_zip.pth", "openmmlab_legacy.pth"}) {
    std::map<std::string, at::Tensor> tensors = TensorsOf(Fixture(name));
    EXPECT_TRUE(at::equal(tensors["head.fc.weight"], Ramp({2, 2}))) << name;

    const absl::StatusOr<Value> value = ReadTorchFile(Fixture(name));
    ASSERT_TRUE(value.ok()) << value.status();
    const Value meta = *value->Get("meta");
    EXPECT_EQ(*meta.GetInt("epoch"), 5);
    EXPECT_EQ(*meta.GetString("cfg"), "model = dict(type='ImageClassifier')\n");
    EXPECT_THAT(*meta.Get("dataset_meta")->GetStrings("classes"), ElementsAre("cat", "dog"));
    EXPECT_EQ(*meta.GetDouble("best"), 0.75);
    EXPECT_EQ(*meta.GetDouble("float32"), 0.5);
    EXPECT_EQ(*meta.GetInt("count"), -7);
    EXPECT_EQ(*meta.GetBool("ok"), true);
    const Value hub = *value->Get("message_hub");
    EXPECT_EQ(hub.Get("log_scalars")->Get("train/loss")->opaque()->type,
              "mmengine.logging.history_buffer.HistoryBuffer");
    EXPECT_EQ(hub.Get("runtime_info")->Get("dtype")->opaque()->type, "torch.float32");
  }
}

TEST(Reader, NamesAndRefusesTheCallsOfACheckpoint) {
  const std::map<std::string, std::string> called = {
      {"evil_os_system.pth", "posix.system"}, {"evil_os_system_legacy.pth", "posix.system"},
      {"evil_eval.pth", "builtins.eval"},     {"evil_import.pth", "builtins.__import__"},
      {"whole_model.pth", "evil.models.Net"}, {"whole_model_legacy.pth", "__main__.Net"},
  };
  for (const auto& [file, name] : called) {
    EXPECT_THAT(ErrorOf(Fixture(file)), AllOf(HasSubstr(file), HasSubstr(name))) << file;
  }
  EXPECT_THAT(ErrorOf(Fixture("whole_model_legacy.pth")),
              HasSubstr("save model.state_dict() and not the model"));
  EXPECT_FALSE(std::filesystem::exists("/tmp/finetune_was_here"));
}

TEST(Reader, NamesTheKindOfAFileThatIsNotACheckpoint) {
  EXPECT_THAT(ErrorOf(Fixture("torchscript.pt")), HasSubstr("TorchScript"));
  EXPECT_THAT(ErrorOf(Fixture("big_endian.pth")), HasSubstr("big-endian"));
  EXPECT_THAT(ErrorOf(Fixture("compressed.pth")), HasSubstr("compressed"));
  EXPECT_THAT(ErrorOf(Fixture("plain.pkl")), HasSubstr("plain Python pickle"));
  EXPECT_THAT(ErrorOf(Fixture("name_clash.pth")), HasSubstr("with and without \"module.\""));
  EXPECT_THAT(ErrorOf(Fixture("no_state_dict.pth")), HasSubstr("epoch (int), history (dict)"));
  EXPECT_THAT(ErrorOf("/nowhere/x.pth"), HasSubstr("/nowhere/x.pth: No such file"));
  EXPECT_THAT(ErrorOf("/tmp"), HasSubstr("a folder"));
  EXPECT_THAT(ErrorOf(TemporaryFile("")), HasSubstr("empty"));
  EXPECT_THAT(ErrorOf(TemporaryFile("\n<!DOCTYPE html><html>")), HasSubstr("web page"));
  EXPECT_THAT(ErrorOf(TemporaryFile("version https://git-lfs.github.com/spec/v1")),
              HasSubstr("git lfs pull"));
  EXPECT_THAT(ErrorOf(TemporaryFile(std::string(257, '\0') + "ustar" + std::string(250, '\0'))),
              HasSubstr("tar file"));
  EXPECT_THAT(ErrorOf(TemporaryFile("{\"weight_map\": {}}")), HasSubstr("JSON file"));
  EXPECT_THAT(ErrorOf(TemporaryFile("what is this")), HasSubstr("it is not a checkpoint"));
  for (const char* name : {"distributed", "distributed/.metadata", "distributed/__0_0.distcp"}) {
    EXPECT_THAT(ErrorOf(Fixture(name)), HasSubstr("dcp_to_torch_save")) << name;
  }
}

TEST(Reader, RefusesEveryTruncation) {
  for (const char* name : {"wrapped.pth", "kinds_zip.pth", "kinds_legacy.pth",
                           "openmmlab_legacy.pth", "kinds.safetensors"}) {
    const std::string whole = *ReadFile(Fixture(name));
    for (size_t size = 0; size < whole.size(); ++size) {
      const std::string path = TemporaryFile(whole.substr(0, size));
      const absl::Status state = ReadStateDict(path).status(), all = ReadTorchFile(path).status();
      EXPECT_FALSE(state.ok()) << name << " of " << size << " bytes";
      EXPECT_FALSE(all.ok()) << name << " of " << size << " bytes";
      // If a truncated file is long enough to show its format, the error must be DataLoss.
      if (size < 24) continue;
      EXPECT_EQ(state.code(), absl::StatusCode::kDataLoss) << name << ": " << state;
      EXPECT_EQ(all.code(), absl::StatusCode::kDataLoss) << name << ": " << all;
    }
  }
}

TEST(Reader, NeverTakesADamagedZipForAnotherCheckpoint) {
  const std::string whole = *ReadFile(Fixture("wrapped.pth"));
  const at::Tensor expected = Ramp({2});
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      const absl::StatusOr<StateDict> state = ReadStateDict(TemporaryFile(damaged));
      if (!state.ok()) continue;
      // A flipped bit in the padding, a time stamp or an entry that is not read may stay unnoticed,
      // but the tensor must be right.
      ASSERT_EQ(state->tensors.size(), 1u) << "byte " << i;
      EXPECT_EQ(state->tensors[0].name, "fc.weight") << "byte " << i;
      EXPECT_TRUE(at::equal(state->tensors[0].tensor, expected)) << "byte " << i;
    }
  }
}

TEST(Reader, SurvivesDamagedFilesOfOtherFormats) {
  // These formats have no checksums, so a flipped bit may stay unnoticed. The test reads every
  // element, so that AddressSanitizer finds a tensor that reaches outside its storage.
  for (const char* name : {"kinds_legacy.pth", "openmmlab_legacy.pth", "kinds.safetensors"}) {
    const std::string whole = *ReadFile(Fixture(name));
    for (size_t i = 0; i < whole.size(); ++i) {
      for (const char flip : {'\x01', '\x40', '\xff'}) {
        std::string damaged = whole;
        damaged[i] = static_cast<char>(damaged[i] ^ flip);
        const absl::StatusOr<StateDict> state = ReadStateDict(TemporaryFile(damaged));
        if (!state.ok()) {
          EXPECT_THAT(std::string(state.status().message()), HasSubstr("/checkpoint: "));
          continue;
        }
        for (const NamedTensor& one : state->tensors) one.tensor.contiguous().clone();
      }
    }
  }
}

// Returns the bytes of a legacy .pth. `pickle`: the pickle of the saved object. `storages`: the
// number of elements of each float storage.
std::string Legacy(const std::string& pickle, const std::vector<int64_t>& storages = {}) {
  std::string bytes("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.}.",
                    23);
  bytes += pickle + "](";
  for (size_t i = 0; i < storages.size(); ++i) bytes += std::string("U\x01") + std::to_string(i);
  bytes += "e.";
  for (const int64_t numel : storages) {
    bytes.append(reinterpret_cast<const char*>(&numel), 8);
    for (int64_t i = 0; i < numel; ++i) {
      const auto element = static_cast<float>(i);
      bytes.append(reinterpret_cast<const char*>(&element), 4);
    }
  }
  return bytes;
}

std::string Int(int64_t n) {
  return "\x8a\x08" + std::string(reinterpret_cast<const char*>(&n), 8);
}

std::string Tuple(const std::vector<int64_t>& numbers) {
  std::string pickle = "(";
  for (const int64_t n : numbers) pickle += Int(n);
  return pickle + "t";
}

// Returns the pickle of a dict with one tensor "w", which lies in float storage 0. `numel`: the
// number of elements that the pickle claims for the storage.
std::string TensorPickle(int64_t numel, int64_t offset, const std::vector<int64_t>& sizes,
                         const std::vector<int64_t>& strides) {
  return "}U\x01wctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x01"
         "0U\x03"
         "cpu" +
         Int(numel) + "NtQ" + Int(offset) + Tuple(sizes) + Tuple(strides) + "\x89}tRs.";
}

std::string TensorError(int64_t numel, int64_t offset, const std::vector<int64_t>& sizes,
                        const std::vector<int64_t>& strides) {
  return ErrorOf(TemporaryFile(Legacy(TensorPickle(numel, offset, sizes, strides), {6})));
}

TEST(Reader, RefusesTensorsThatReachOutOfTheirStorage) {
  const std::string good = TemporaryFile(Legacy(TensorPickle(6, 1, {2, 2}, {3, 1}), {6}));
  EXPECT_TRUE(at::equal(TensorsOf(good)["w"], at::tensor({1.0f, 2.0f, 4.0f, 5.0f}).view({2, 2})));

  constexpr int64_t kHuge = int64_t{1} << 62;
  EXPECT_THAT(TensorError(6, 0, {7}, {1}), HasSubstr("w: the tensor reaches to element 7"));
  EXPECT_THAT(TensorError(6, 6, {1}, {1}), HasSubstr("reaches to element 7"));
  EXPECT_THAT(TensorError(6, 0, {2}, {6}), HasSubstr("reaches to element 7"));
  EXPECT_THAT(TensorError(6, 0, {2, 2, 2}, {1, 3, 2}), HasSubstr("reaches to element 7"));
  EXPECT_THAT(TensorError(6, -1, {1}, {1}), HasSubstr("offset is negative"));
  EXPECT_THAT(TensorError(6, 0, {-1}, {1}), HasSubstr("negative"));
  EXPECT_THAT(TensorError(6, 5, {2}, {-1}), HasSubstr("negative"));
  EXPECT_THAT(TensorError(6, 0, {2, 2}, {1}), HasSubstr("more sizes than strides"));
  EXPECT_THAT(TensorError(6, 0, {kHuge, kHuge}, {0, 0}), HasSubstr("overflows"));
  EXPECT_THAT(TensorError(6, kHuge, {3}, {kHuge}), HasSubstr("overflows"));
  EXPECT_THAT(TensorError(6, 0, {0, kHuge, kHuge}, {1, 1, 1}), HasSubstr("overflows"));
  EXPECT_THAT(TensorError(6, 0, {kHuge}, {0}), HasSubstr("its storage only 6"));
  EXPECT_THAT(TensorError(7, 0, {1}, {1}), HasSubstr("expects 7"));
  EXPECT_THAT(TensorError(-1, 0, {1}, {1}), HasSubstr("no usable size"));
  EXPECT_THAT(TensorError(kHuge, 0, {1}, {1}), HasSubstr("no usable size"));
  EXPECT_THAT(TensorError(6, 0, std::vector<int64_t>(65, 1), std::vector<int64_t>(65, 1)),
              HasSubstr("not a short tuple"));
}

TEST(Reader, RefusesAStorageLargerThanTheFileBeforeAllocating) {
  constexpr int64_t kTebi = int64_t{1} << 40;
  std::string bytes = Legacy(TensorPickle(kTebi, 0, {1}, {1}), {0});
  bytes.replace(bytes.size() - 8, 8, reinterpret_cast<const char*>(&kTebi), 8);
  EXPECT_THAT(ErrorOf(TemporaryFile(bytes)), HasSubstr("cut off"));
}

TEST(Reader, RefusesValuesThatContainThemselvesOrAreTooDeep) {
  EXPECT_THAT(ErrorOf(TemporaryFile(Legacy("}q\x01U\x01wh\x01s."))), HasSubstr("contains itself"));
  std::string deep = "}U\x01w";
  for (int i = 0; i < 100'000; ++i) deep += ']';
  for (int i = 0; i < 100'000 - 1; ++i) deep += 'a';
  EXPECT_THAT(ErrorOf(TemporaryFile(Legacy(deep + "s."))), HasSubstr("nested too deeply"));
}

TEST(Reader, ReadsALadderOfSharedListsInLinearTime) {
  // Each of 60 lists contains the previous list twice, so 2^60 paths lead to the first list.
  std::string ladder = std::string("]q") + '\0' + "0";
  for (char i = 1; i <= 60; ++i) {
    const auto before = static_cast<char>(i - 1);
    ladder += std::string("](h") + before + "h" + before + "eq" + i + "0";
  }
  const absl::StatusOr<Value> value = ReadTorchFile(TemporaryFile(Legacy(ladder + "h\x3c.")));
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(value->list()->at(0).list(), value->list()->at(1).list());
}

TEST(Reader, TakesTheLastOfEqualKeys) {
  const absl::StatusOr<Value> value =
      ReadTorchFile(TemporaryFile(Legacy("}(U\x01"
                                         "aK\x01U\x01"
                                         "bK\x02U\x01"
                                         "aK\x03u.")));
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(value->dict()->entries().size(), 2u);
  EXPECT_EQ(*value->GetInt("a"), 3);
}

TEST(Reader, RefusesInconsistentSafetensorsHeaders) {
  const auto error = [](const std::string& header, size_t data_bytes) {
    return ErrorOf(TemporaryFile(Safetensors(header, data_bytes)));
  };
  const std::string a = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  EXPECT_TRUE(ReadStateDict(TemporaryFile(Safetensors("{" + a + "}", 8))).ok());
  EXPECT_THAT(error("{" + a + "}", 9), HasSubstr("end at byte 8 of its data, which has 9"));
  EXPECT_THAT(error("{" + a + "," + a + "}", 8), HasSubstr("twice"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4),
              HasSubstr("its type and shape need 8"));
  EXPECT_THAT(error("{" + a + R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8),
              HasSubstr("overlap"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8),
              HasSubstr("8 to 0"));
  EXPECT_THAT(error(R"({"a":{"dtype":"Q4","shape":[2],"data_offsets":[0,1]}})", 1),
              HasSubstr("unsupported type \"Q4\""));
  EXPECT_THAT(
      error(R"({"a":{"dtype":"F32","shape":[0,4611686018427387904,8],"data_offsets":[0,0]}})", 0),
      HasSubstr("overflows"));
  EXPECT_THAT(error(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}})", 0),
              HasSubstr("negative"));
  EXPECT_THAT(error(R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4), HasSubstr("type \"\""));
  EXPECT_THAT(error(R"({"a":[]})", 0), HasSubstr("unexpected list"));
  EXPECT_THAT(error("{" + std::string(100'000, '['), 0), HasSubstr("header is wrong"));
  EXPECT_THAT(error(R"({"a":{"b":{"c":{}}}})", 0), HasSubstr("unexpected object"));
}

TEST(Value, NamesAKeyThatIsMissingOrOfAnotherKind) {
  Value::Dict dict;
  dict.Append("epoch", "three");
  const Value value = dict;
  EXPECT_THAT(std::string(value.GetInt("epoch").status().message()),
              HasSubstr("\"epoch\" is of type str, expected int"));
  EXPECT_THAT(std::string(value.GetInt("iteration").status().message()),
              HasSubstr("no \"iteration\""));
  EXPECT_THAT(std::string(Value(1).Get("x").status().message()),
              HasSubstr("of type int, not a dict"));
}

}  // namespace
}  // namespace finetune
