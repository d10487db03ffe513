#include "src/predict/feature_file.h"

#include <hdf5.h>

#include <cstring>
#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/data/hdf5_handle.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kChannels = 3;

FeatureRows Rows() {
  return {{"photos/cat/1.jpg", "a.tar/dog/2.jpg", "3.jpg", "Katze/\xC3\xA4.jpg"}, {"dog", "cat"}};
}

std::string Bytes(const std::vector<float>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

class FeatureFileTest : public testing::Test {
 protected:
  // Writes four rows in two parts.
  void Write(const std::string& path) {
    const auto file = FeatureFile::Create(path);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->Begin(Rows(), kChannels).ok());
    ASSERT_TRUE((*file)->Append(Bytes({1, 2, 3})).ok());
    ASSERT_TRUE((*file)->Append(Bytes({4, 5, 6, 7, 8, 9, 10, 11, 12})).ok());
    EXPECT_FALSE(fs::exists(path));
    const absl::Status committed = (*file)->Commit();
    ASSERT_TRUE(committed.ok()) << committed;
  }

  // Reads a whole data set as elements of `type` in memory, which have T's size.
  template <typename T>
  std::vector<T> Read(const std::string& path, const char* name, hid_t type, size_t size) {
    const Hdf5Lock lock;
    const Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
    const Hdf5Handle set(H5Dopen2(file.get(), name, H5P_DEFAULT), H5Dclose);
    const Hdf5Handle space(H5Dget_space(set.get()), H5Sclose);
    EXPECT_EQ(H5Sget_simple_extent_npoints(space.get()) * sizeof(T), size * sizeof(T)) << name;
    std::vector<T> values(size);
    EXPECT_GE(H5Dread(set.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0) << name;
    return values;
  }

  std::vector<std::string> ReadStrings(const std::string& path, const char* name, size_t size) {
    constexpr size_t kMost = 64;
    const Hdf5Handle type = [] {
      const Hdf5Lock lock;
      Hdf5Handle text(H5Tcopy(H5T_C_S1), H5Tclose);
      H5Tset_size(text.get(), kMost);
      H5Tset_cset(text.get(), H5T_CSET_UTF8);
      return text;
    }();
    struct Text {
      char bytes[kMost];
    };
    std::vector<std::string> texts;
    for (const Text& text : Read<Text>(path, name, type.get(), size)) texts.push_back(text.bytes);
    return texts;
  }

  const std::string folder_ = EmptyTestFolder();
};

TEST_F(FeatureFileTest, Hdf5SaysWhoseFeaturesTheyAre) {
  const std::string path = folder_ + "/f.h5";
  Write(path);
  EXPECT_THAT(Read<float>(path, "features", H5T_NATIVE_FLOAT, 12),
              ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
  EXPECT_THAT(Read<int64_t>(path, "label", H5T_NATIVE_INT64, 4), ElementsAre(1, 0, -1, -1));
  EXPECT_EQ(ReadStrings(path, "path", 4), Rows().paths);
  EXPECT_EQ(ReadStrings(path, "class_names", 2), Rows().class_names);
}

TEST_F(FeatureFileTest, NpyHasTheFeaturesAlone) {
  Write(folder_ + "/f.npy");
  const std::string bytes = *ReadFile(folder_ + "/f.npy");
  EXPECT_THAT(bytes, HasSubstr("'shape': (4, 3,)"));
  EXPECT_EQ(bytes.substr(bytes.size() - 48), Bytes({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
}

TEST_F(FeatureFileTest, LeavesNothingBehindWithoutCommit) {
  for (const char* name : {"/f.h5", "/f.npy"}) {
    {
      const auto file = FeatureFile::Create(folder_ + name);
      ASSERT_TRUE(file.ok()) << file.status();
      ASSERT_TRUE((*file)->Begin(Rows(), kChannels).ok());
      ASSERT_TRUE((*file)->Append(Bytes({1, 2, 3})).ok());
    }
    EXPECT_TRUE(fs::is_empty(folder_));
  }
}

TEST_F(FeatureFileTest, RefusesAnotherEnding) {
  EXPECT_EQ(FeatureFile::Create(folder_ + "/f.csv").status().message(),
            "found " + folder_ + "/f.csv; expected a name that ends in .npy, .h5 or .hdf5");
}

}  // namespace
}  // namespace finetune
