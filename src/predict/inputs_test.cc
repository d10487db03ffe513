#include "src/predict/inputs.h"

#include <archive.h>
#include <archive_entry.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class InputsTest : public testing::Test {
 protected:
  void SetUp() override { folder_ = EmptyTestFolder(); }
  std::string Make(const std::string& name) {
    const std::string path = absl::StrCat(folder_, "/", name);
    fs::create_directories(fs::path(path).parent_path());
    EXPECT_TRUE(WriteFileAtomically(path, "x").ok());
    return path;
  }
  // Writes a tar archive of files, each of which contains its own name, and returns its path.
  std::string MakeTar(const std::string& name, const std::vector<std::string>& files) {
    const std::string path = absl::StrCat(folder_, "/", name);
    archive* a = archive_write_new();
    archive_write_set_format_ustar(a);
    EXPECT_EQ(archive_write_open_filename(a, path.c_str()), ARCHIVE_OK);
    archive_entry* entry = archive_entry_new();
    for (const std::string& file : files) {
      archive_entry_clear(entry);
      archive_entry_set_pathname(entry, file.c_str());
      archive_entry_set_filetype(entry, AE_IFREG);
      archive_entry_set_perm(entry, 0644);
      archive_entry_set_size(entry, static_cast<la_int64_t>(file.size()));
      EXPECT_EQ(archive_write_header(a, entry), ARCHIVE_OK);
      EXPECT_EQ(archive_write_data(a, file.data(), file.size()),
                static_cast<la_ssize_t>(file.size()));
    }
    archive_entry_free(entry);
    EXPECT_EQ(archive_write_free(a), ARCHIVE_OK);
    return path;
  }
  std::string folder_;
};

std::vector<std::string> PathsOf(const ImageList& list) {
  std::vector<std::string> paths;
  for (const ImageInput& image : list.images) paths.push_back(image.path);
  return paths;
}

TEST_F(InputsTest, FoldersAreTheirImagesSortedAndOrderIsKept) {
  const std::string b = Make("photos/b.JPG"), a = Make("photos/z/a.png"), single = Make("zz.dat");
  Make("photos/notes.txt");
  Make("photos/.hidden.jpg");
  Make("photos/.cache/thumbnail.jpg");
  const auto images = ListImages({single, folder_ + "/photos", single});
  ASSERT_TRUE(images.ok()) << images.status();
  EXPECT_THAT(PathsOf(*images), ElementsAre(single, b, a, single));
}

TEST_F(InputsTest, DoesNotFollowALinkThatLeadsBack) {
  const std::string a = Make("photos/a.jpg");
  fs::create_directory_symlink(folder_ + "/photos", folder_ + "/photos/again");
  const auto images = ListImages({folder_ + "/photos"});
  ASSERT_TRUE(images.ok()) << images.status();
  EXPECT_THAT(PathsOf(*images), ElementsAre(a));
}

TEST_F(InputsTest, RefusesAPathThatDoesNotExistAndAFolderWithoutImages) {
  Make("empty/notes.txt");
  const auto missing = ListImages({folder_ + "/nowhere"});
  EXPECT_TRUE(absl::IsNotFound(missing.status()));
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("/nowhere: does not exist"));
  const auto empty = ListImages({folder_ + "/empty"});
  EXPECT_TRUE(absl::IsNotFound(empty.status()));
  EXPECT_THAT(std::string(empty.status().message()), HasSubstr("/empty: found no file below it"));
}

TEST_F(InputsTest, AListHasOnePathALineOrBetweenNuls) {
  ImageList list;
  AppendList("a b.jpg\r\n\nc.jpg", &list);
  AppendList(absl::string_view("d\n.jpg\0e.jpg\0", 12), &list);
  EXPECT_THAT(PathsOf(list), ElementsAre("a b.jpg", "c.jpg", "d\n.jpg", "e.jpg"));
}

TEST_F(InputsTest, ReadsSomeImagesOfArchivesInTheirOrder) {
  // The name b/2.png is in the archive twice, which is allowed.
  const std::string two = MakeTar("two.dat", {"x.png"});
  const std::string tar =
      MakeTar("one.tar", {"b/2.png", "b/1.JPG", "notes.txt", ".hidden/3.png", "b/2.png", "4.png"});
  auto list = ListImages({tar, two});
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_THAT(PathsOf(*list), ElementsAre(tar + "/b/2.png", tar + "/b/1.JPG", tar + "/b/2.png",
                                          tar + "/4.png", two + "/x.png"));
  // The list as another rank receives it.
  const ImageList sent = Deserialize(Serialize(*list));
  EXPECT_EQ(PathsOf(sent), PathsOf(*list));
  InputReader reader(&sent);
  for (const auto& [index, content] :
       {std::pair(1, "b/1.JPG"), std::pair(3, "4.png"), std::pair(4, "x.png")}) {
    const auto bytes = reader.ReadFromArchive(sent.images[index]);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(*bytes, content);
  }
}

TEST_F(InputsTest, FolderWithoutImagesStandsForItsTars) {
  Make("shards/notes.txt");
  const std::string b = MakeTar("shards/b.tar", {"1.png"}), a = MakeTar("shards/a.tar", {"2.png"});
  const auto list = ListImages({folder_ + "/shards"});
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_THAT(PathsOf(*list), ElementsAre(a + "/2.png", b + "/1.png"));
}

TEST_F(InputsTest, NoticesAnArchiveThatHasChanged) {
  const std::string tar = MakeTar("one.tar", {"1.png", "2.png"});
  const auto list = ListImages({tar});
  ASSERT_TRUE(list.ok()) << list.status();
  MakeTar("one.tar", {"1.png", "3.png"});
  InputReader reader(&*list);
  EXPECT_TRUE(reader.ReadFromArchive(list->images[0]).ok());
  EXPECT_EQ(reader.ReadFromArchive(list->images[1]).status().message(),
            tar + ": has changed since it was listed; run this again");
}

TEST_F(InputsTest, RefusesAWholeArchiveWithoutImages) {
  const std::string tar = MakeTar("one.tar", {"notes.txt"});
  EXPECT_THAT(std::string(ListImages({tar}).status().message()),
              HasSubstr("one.tar: found no file in it whose name ends as an image's"));
}

}  // namespace
}  // namespace finetune
