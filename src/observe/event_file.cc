#include "src/observe/event_file.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "src/base/list_folder.h"
#include "src/base/system_error.h"
#include "src/observe/event.pb.h"

namespace finetune {
namespace {

// Returns the CRC-32C of each single byte, by which Crc32c() computes eight bits at a time.
// 0x82F63B78 is the polynomial 0x1EDC6F41 with its bits reversed.
constexpr std::array<uint32_t, 256> CrcTable() {
  std::array<uint32_t, 256> table = {};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78U : 0U);
    table[i] = crc;
  }
  return table;
}

void AppendLittleEndian(uint64_t value, int bytes, std::string* to) {
  for (int i = 0; i < bytes; ++i) to->push_back(static_cast<char>(value >> (8 * i)));
}

// TensorFlow's file format does not store a CRC itself but changes ("masks") it, because the CRC of
// data that contain CRCs is weak.
uint32_t MaskedCrc32c(absl::string_view bytes) {
  const uint32_t crc = Crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8U;
}

constexpr absl::string_view kNamePrefix = "events.out.tfevents.";
constexpr char kWriter[] = "finetune";

// Returns whether the first event of a file names finetune as the writer.
bool IsOwn(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  // A record begins with the event's size in 8 bytes and the size's checksum in 4.
  uint64_t size = 0;
  std::array<char, 256> data;
  in.read(reinterpret_cast<char*>(&size), sizeof(size)).ignore(4);
  if (!in || size > data.size() || !in.read(data.data(), static_cast<std::streamsize>(size))) {
    return false;
  }
  tensorboard::Event event;
  return event.ParseFromArray(data.data(), static_cast<int>(size)) &&
         event.source_metadata().writer() == kWriter;
}

double WallTime() { return absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()); }

}  // namespace

uint32_t Crc32c(absl::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = CrcTable();
  uint32_t crc = ~0U;
  for (const char byte : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(byte)) & 255];
  return ~crc;
}

std::string TfRecord(absl::string_view data) {
  std::string record;
  record.reserve(data.size() + 16);
  AppendLittleEndian(data.size(), 8, &record);
  AppendLittleEndian(MaskedCrc32c(record), 4, &record);
  absl::StrAppend(&record, data);
  AppendLittleEndian(MaskedCrc32c(data), 4, &record);
  return record;
}

absl::Status RemoveEventFiles(const std::string& folder) {
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(folder));
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(folder, "/", name);
    if (!absl::StartsWith(name, kNamePrefix) || !IsOwn(path)) continue;
    if (unlink(path.c_str()) != 0 && errno != ENOENT) {
      return SystemError("cannot delete", path, errno);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<EventFile> EventFile::Create(const std::string& folder, const std::string& host) {
  FT_ASSIGN_OR_RETURN(AppendFile file, AppendFile::Open(absl::StrFormat(
                                           "%s/%s%010d.%s.%d", folder, kNamePrefix,
                                           absl::ToUnixSeconds(absl::Now()), host, getpid())));
  EventFile events(std::move(file));
  tensorboard::Event first;
  first.set_wall_time(WallTime());
  first.set_file_version("brain.Event:2");
  first.mutable_source_metadata()->set_writer(kWriter);
  FT_RETURN_IF_ERROR(events.file_.Append(TfRecord(first.SerializeAsString())));
  return events;
}

absl::Status EventFile::Start(int64_t step) {
  tensorboard::Event event;
  event.set_wall_time(WallTime());
  event.set_step(step);
  event.mutable_session_log()->set_status(tensorboard::SessionLog::START);
  return file_.Append(TfRecord(event.SerializeAsString()));
}

absl::Status EventFile::Add(int64_t step, const std::vector<Scalar>& scalars) {
  tensorboard::Event event;
  event.set_wall_time(WallTime());
  event.set_step(step);
  for (const auto& [tag, value] : scalars) {
    tensorboard::Summary::Value* point = event.mutable_summary()->add_value();
    point->set_tag(tag);
    point->set_simple_value(static_cast<float>(value));
  }
  return file_.Append(TfRecord(event.SerializeAsString()));
}

absl::Status EventFile::AddImage(int64_t step, const std::string& tag, const ImageFile& image) {
  tensorboard::Event event;
  event.set_wall_time(WallTime());
  event.set_step(step);
  tensorboard::Summary::Value* value = event.mutable_summary()->add_value();
  value->set_tag(tag);
  value->mutable_image()->set_height(image.height);
  value->mutable_image()->set_width(image.width);
  value->mutable_image()->set_colorspace(image.channels);
  value->mutable_image()->set_encoded_image_string(image.bytes);
  return file_.Append(TfRecord(event.SerializeAsString()));
}

}  // namespace finetune
