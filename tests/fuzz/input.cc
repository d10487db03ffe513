#include "tests/fuzz/input.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace finetune {

absl::string_view Text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

std::vector<absl::string_view> Parts(absl::string_view input, size_t count) {
  constexpr absl::string_view kLine = "\n----\n";
  std::vector<absl::string_view> parts(count);
  for (size_t i = 0; i < count; ++i) {
    const size_t end = i + 1 < count ? input.find(kLine) : absl::string_view::npos;
    parts[i] = input.substr(0, end);
    input.remove_prefix(end == absl::string_view::npos ? input.size() : end + kLine.size());
  }
  return parts;
}

const std::string& InputFolder() {
  static const std::string folder = [] {
    const char* parent = std::getenv("TEST_TMPDIR");
    std::string path =
        std::string(parent == nullptr ? "/tmp" : parent) + "/fuzz." + std::to_string(getpid());
    std::filesystem::create_directories(path);
    return path;
  }();
  return folder;
}

std::string WriteInput(const std::string& name, absl::string_view bytes) {
  std::string path = InputFolder() + "/" + name;
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

void Expect(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "a promise is broken: %s\n", promise);
  std::abort();
}

}  // namespace finetune
