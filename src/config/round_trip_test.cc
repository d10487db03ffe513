// Printing a config and loading it again gives the same config. This is tested with random configs,
// made by reflection over the schema.

#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/config/config.h"
#include "src/config/print.h"

namespace finetune {
namespace {

using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::Reflection;
using ::google::protobuf::TextFormat;

// Makes configs with random values, many of them hard to print and parse: extreme numbers, control
// characters, invalid UTF-8.
class RandomConfigs {
 public:
  explicit RandomConfigs(uint32_t seed) : random_(seed) {}

  // Returns a random config with random places, including places of lists that were written as
  // empty.
  LoadedConfig Make() {
    LoadedConfig loaded;
    Fill("", &loaded.config, &loaded);
    if (!loaded.config.has_name()) loaded.config.set_name(String());
    return loaded;
  }

 private:
  void Fill(const std::string& path, Message* message, LoadedConfig* loaded) {
    const Reflection* reflection = message->GetReflection();
    for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
      const FieldDescriptor* field = message->GetDescriptor()->field(i);
      const std::string at = path.empty() ? field->name() : absl::StrCat(path, ".", field->name());
      // A loaded config has neither import nor reset.
      if (at == "import" || at == "reset" || Below(3) == 0) continue;
      if (!field->is_repeated()) {
        loaded->origins[at].file = String();
        Set(at, field, message, loaded);
        continue;
      }
      loaded->origins[at].file = String();
      const int count = static_cast<int>(Below(4));
      for (int k = 0; k < count; ++k) {
        Set(absl::StrCat(at, "[", k, "]"), field, message, loaded);
      }
      EXPECT_EQ(reflection->FieldSize(*message, field), count);
    }
  }

  void Set(const std::string& at, const FieldDescriptor* field, Message* message,
           LoadedConfig* loaded) {
    const Reflection* reflection = message->GetReflection();
    const bool list = field->is_repeated();
    const auto set = [&](auto setter, auto adder, auto value) {
      list ? (reflection->*adder)(message, field, value)
           : (reflection->*setter)(message, field, value);
    };
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return set(&Reflection::SetInt32, &Reflection::AddInt32, Integer<int32_t>());
      case FieldDescriptor::CPPTYPE_INT64:
        return set(&Reflection::SetInt64, &Reflection::AddInt64, Integer<int64_t>());
      case FieldDescriptor::CPPTYPE_UINT32:
        return set(&Reflection::SetUInt32, &Reflection::AddUInt32, Integer<uint32_t>());
      case FieldDescriptor::CPPTYPE_UINT64:
        return set(&Reflection::SetUInt64, &Reflection::AddUInt64, Integer<uint64_t>());
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return set(&Reflection::SetDouble, &Reflection::AddDouble, Real<double>());
      case FieldDescriptor::CPPTYPE_FLOAT:
        return set(&Reflection::SetFloat, &Reflection::AddFloat, Real<float>());
      case FieldDescriptor::CPPTYPE_BOOL:
        return set(&Reflection::SetBool, &Reflection::AddBool, Below(2) == 0);
      case FieldDescriptor::CPPTYPE_ENUM: {
        const int count = field->enum_type()->value_count();
        const auto* value = field->enum_type()->value(static_cast<int>(Below(count)));
        return set(&Reflection::SetEnum, &Reflection::AddEnum, value);
      }
      case FieldDescriptor::CPPTYPE_STRING:
        return set(&Reflection::SetString, &Reflection::AddString, String());
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Fill(at,
                    list ? reflection->AddMessage(message, field)
                         : reflection->MutableMessage(message, field),
                    loaded);
    }
  }

  uint64_t Below(uint64_t end) { return random_() % end; }

  template <typename T>
  T Integer() {
    using Limits = std::numeric_limits<T>;
    const std::array<T, 5> edges = {Limits::min(), Limits::max(), 0, 1, static_cast<T>(-1)};
    return Below(2) == 0 ? edges[Below(edges.size())] : static_cast<T>(random_());
  }

  template <typename T>
  T Real() {
    using Limits = std::numeric_limits<T>;
    const std::array<T, 12> edges = {Limits::infinity(),
                                     -Limits::infinity(),
                                     Limits::quiet_NaN(),
                                     Limits::max(),
                                     Limits::lowest(),
                                     Limits::min(),
                                     Limits::denorm_min(),
                                     T{0},
                                     -T{0},
                                     T{1} / 3,
                                     static_cast<T>(16777217),
                                     static_cast<T>(1e-5)};
    if (Below(2) == 0) return edges[Below(edges.size())];
    // A random number with a random exponent.
    return std::ldexp(static_cast<T>(random_()) / static_cast<T>(uint64_t{1} << 32),
                      static_cast<int>(Below(2000)) - 1000);
  }

  std::string String() {
    static const std::vector<std::string> kParts = {
        "a",      "\"",         "'",   "\\", "\n",   "\r\n", "\t",      "#",
        " ",      "{",          "]",   ":",  "\x7f", "\x01", "07",      "donn\u00e9es",
        "\u65e5", "\U0001f34e", "\\n", "%s", "\xff", "\xc3", "--set=x", std::string(1, '\0')};
    std::string text;
    for (uint64_t length = Below(6); length > 0; --length) text += kParts[Below(kParts.size())];
    return text;
  }

  std::mt19937_64 random_;
};

class RoundTripTest : public testing::Test {
 protected:
  absl::StatusOr<LoadedConfig> Load(const std::string& text,
                                    const std::vector<std::string>& overrides = {}) {
    const std::string file = folder_ + "/x.pbtxt";
    EXPECT_TRUE(WriteFileAtomically(file, text).ok());
    return LoadConfig(file, {.search_path = {}, .overrides = overrides});
  }

  // Checks that the printed config loads to the same values and the same empty lists, with and
  // without origins.
  void ExpectLoadsAgain(const LoadedConfig& loaded) {
    const std::string bare = PrintConfig(loaded, /*with_origins=*/false);
    for (const bool origins : {false, true}) {
      const std::string text = PrintConfig(loaded, origins);
      const auto again = Load(text);
      ASSERT_TRUE(again.ok()) << again.status() << "\n" << text;
      ASSERT_EQ(PrintConfig(*again, /*with_origins=*/false), bare) << text;
      ASSERT_EQ(again->config.DebugString(), loaded.config.DebugString()) << text;
      ASSERT_EQ(ConfigHash(again->config), ConfigHash(loaded.config)) << text;
    }
  }

  const std::string folder_ = EmptyTestFolder();
};

TEST_F(RoundTripTest, PrintedConfigsLoadToTheSameConfig) {
  for (uint32_t seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE(seed);
    ExpectLoadsAgain(RandomConfigs(seed).Make());
    if (HasFatalFailure()) return;
  }
}

// Loads random configs in two ways: from a file written by protobuf's printer, and from one --set
// for each message, over several lines.
TEST_F(RoundTripTest, LoadedConfigsPrintToTheSameConfig) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    const ExperimentConfig config = RandomConfigs(seed).Make().config;
    std::string text;
    ASSERT_TRUE(TextFormat::PrintToString(config, &text));
    const auto from_file = Load(text);
    ASSERT_TRUE(from_file.ok()) << from_file.status() << "\n" << text;
    EXPECT_EQ(from_file->config.DebugString(), config.DebugString());
    ExpectLoadsAgain(*from_file);

    std::vector<std::string> overrides;
    std::vector<const FieldDescriptor*> fields;
    config.GetReflection()->ListFields(config, &fields);
    for (const FieldDescriptor* field : fields) {
      std::string value;
      TextFormat::PrintFieldValueToString(config, field, -1, &value);
      const bool message = field->message_type() != nullptr;
      overrides.push_back(
          absl::StrCat(field->name(), "=", message ? absl::StrCat("{\n", value, "}") : value));
    }
    const auto from_flags = Load("", overrides);
    ASSERT_TRUE(from_flags.ok()) << from_flags.status();
    EXPECT_EQ(from_flags->config.DebugString(), config.DebugString());
    ExpectLoadsAgain(*from_flags);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace finetune
