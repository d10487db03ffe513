#include "src/comm/mpi/network_sleep.h"

#include <filesystem>
#include <string>
#include <system_error>

#include "absl/strings/numbers.h"

namespace finetune {

NetworkSleep::NetworkSleep() {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
    int fd = -1;
    if (std::filesystem::read_symlink(entry.path(), error) == "anon_inode:[eventpoll]" &&
        absl::SimpleAtoi(entry.path().filename().string(), &fd)) {
      instances_.push_back({fd, POLLIN, 0});
    }
  }
}

bool NetworkSleep::Sleep(absl::Duration most) {
  const timespec limit = absl::ToTimespec(most);
  const int ready = ppoll(instances_.data(), instances_.size(), &limit, nullptr);
  if (ready <= 0) return false;
  // Forget descriptors that have been closed: they would end every later sleep at once.
  const size_t before = instances_.size();
  std::erase_if(instances_, [](const pollfd& one) { return (one.revents & ~POLLIN) != 0; });
  return instances_.size() == before;
}

}  // namespace finetune
