#include "src/observe/event_file.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/observe/contact_sheet.h"
#include "src/observe/event.pb.h"

namespace finetune {
namespace {

TEST(Crc32c, GivesTheSumsOfRfc3720) {
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62A8AB43U);
  std::string ascending;
  for (int i = 0; i < 32; ++i) ascending.push_back(static_cast<char>(i));
  EXPECT_EQ(Crc32c(ascending), 0x46DD794EU);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283U);
}

// The expected bytes were written by RecordWriter of tensorboard 2.x.
TEST(TfRecord, FramesAsTensorFlowDoes) {
  const std::string expected(
      "\x03\x00\x00\x00\x00\x00\x00\x00\xb0\x99\x49\x0e"
      "abc"
      "\x6e\x57\xf1\x21",
      19);
  EXPECT_EQ(TfRecord("abc"), expected);
}

// Returns the events of a file and expects that their checksums are right.
std::vector<tensorboard::Event> Read(const std::string& path) {
  std::string rest = *ReadFile(path);
  std::vector<tensorboard::Event> read;
  while (!rest.empty()) {
    const size_t size = static_cast<uint8_t>(rest[0]) + 256 * static_cast<uint8_t>(rest[1]);
    const std::string data = rest.substr(12, size);
    EXPECT_EQ(rest.substr(0, size + 16), TfRecord(data));
    EXPECT_TRUE(read.emplace_back().ParseFromString(data));
    rest.erase(0, size + 16);
  }
  return read;
}

TEST(EventFile, HoldsItsVersionAndWriterThenItsStartThenEveryScalar) {
  absl::StatusOr<EventFile> events = EventFile::Create(testing::TempDir(), "node7");
  ASSERT_TRUE(events.ok()) << events.status();
  EXPECT_THAT(events->path(), testing::HasSubstr("/events.out.tfevents."));
  EXPECT_THAT(events->path(), testing::HasSubstr(".node7."));
  ASSERT_TRUE(events->Start(7).ok());
  ASSERT_TRUE(events->Add(8, {{"train/loss", 2.5}, {"train/lr", 0.01}}).ok());

  const std::vector<tensorboard::Event> read = Read(events->path());
  ASSERT_EQ(read.size(), 3u);
  EXPECT_EQ(read[0].file_version(), "brain.Event:2");
  EXPECT_EQ(read[0].source_metadata().writer(), "finetune");
  EXPECT_EQ(read[1].session_log().status(), tensorboard::SessionLog::START);
  EXPECT_EQ(read[1].step(), 7);
  EXPECT_EQ(read[2].step(), 8);
  EXPECT_GT(read[2].wall_time(), 1.7e9);
  ASSERT_EQ(read[2].summary().value_size(), 2);
  EXPECT_EQ(read[2].summary().value(0).tag(), "train/loss");
  EXPECT_EQ(read[2].summary().value(0).simple_value(), 2.5F);
  EXPECT_EQ(read[2].summary().value(1).tag(), "train/lr");
}

TEST(EventFile, HoldsAnImageWithItsSize) {
  const std::string folder = EmptyTestFolder();
  absl::StatusOr<EventFile> events = EventFile::Create(folder, "node7");
  ASSERT_TRUE(events.ok()) << events.status();
  const ImageFile image{"image/png", std::string("bytes\0", 6), 20, 30, 3};
  ASSERT_TRUE(events->AddImage(4, "train/first_batch", image).ok());
  const std::vector<tensorboard::Event> read = Read(events->path());
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[1].step(), 4);
  ASSERT_EQ(read[1].summary().value_size(), 1);
  const tensorboard::Summary::Value& value = read[1].summary().value(0);
  EXPECT_EQ(value.tag(), "train/first_batch");
  EXPECT_EQ(value.image().height(), 20);
  EXPECT_EQ(value.image().width(), 30);
  EXPECT_EQ(value.image().colorspace(), 3);
  EXPECT_EQ(value.image().encoded_image_string(), image.bytes);
}

TEST(EventFile, RemovesItsOwnFilesAndNoOthers) {
  const std::string folder = EmptyTestFolder();
  const absl::StatusOr<EventFile> own = EventFile::Create(folder, "node7");
  ASSERT_TRUE(own.ok()) << own.status();
  // Files that must stay: one that begins as those of PyTorch's SummaryWriter, without a writer; an
  // empty one; and one of finetune with another name.
  tensorboard::Event first;
  first.set_file_version("brain.Event:2");
  const std::vector<std::string> others = {folder + "/events.out.tfevents.1.other",
                                           folder + "/events.out.tfevents.2.empty",
                                           folder + "/copy.of.events.out.tfevents.3"};
  ASSERT_TRUE(WriteFileAtomically(others[0], TfRecord(first.SerializeAsString())).ok());
  ASSERT_TRUE(WriteFileAtomically(others[1], "").ok());
  ASSERT_TRUE(WriteFileAtomically(others[2], *ReadFile(own->path())).ok());
  ASSERT_TRUE(RemoveEventFiles(folder).ok());
  EXPECT_FALSE(ReadFile(own->path()).ok());
  for (const std::string& other : others) EXPECT_TRUE(ReadFile(other).ok()) << other;
}

TEST(EventFile, SaysWhereItCannotWrite) {
  const absl::StatusOr<EventFile> events = EventFile::Create("/no/such/folder", "node7");
  EXPECT_THAT(std::string(events.status().message()),
              testing::MatchesRegex(
                  "cannot write /no/such/folder/events.out.*: No such file or directory"));
}

}  // namespace
}  // namespace finetune
