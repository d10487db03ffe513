#include "src/host/memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/host/kernel_file.h"

namespace finetune {
namespace {

// Version 1 writes nearly 2^63 for a cgroup without a limit.
constexpr int64_t kUnlimited = int64_t{1} << 60;

// Returns the number at the beginning of `text`; nullopt where there is none, as in "max".
std::optional<int64_t> FirstNumber(const std::string& text) {
  const std::vector<std::string> words =
      absl::StrSplit(text, absl::ByAnyChar(" \t\n"), absl::SkipEmpty());
  int64_t number = 0;
  if (words.empty() || !absl::SimpleAtoi(words[0], &number)) return std::nullopt;
  return number;
}

// Returns the numbers of lines such as "MemAvailable:   1234 kB" or "inactive_file 1234".
std::map<std::string, int64_t> Numbers(const std::string& text) {
  std::map<std::string, int64_t> numbers;
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(text, '\n'))) {
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(": \t"), absl::SkipEmpty());
    int64_t number = 0;
    if (words.size() >= 2 && absl::SimpleAtoi(words[1], &number)) numbers[words[0]] = number;
  }
  return numbers;
}

// The names of the files of a cgroup, which differ between the versions.
struct Names {
  const char *limit, *usage, *inactive, *active;
};
constexpr Names kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                             "total_inactive_file", "total_active_file"};
constexpr Names kVersion2 = {"memory.max", "memory.current", "inactive_file", "active_file"};

// Adds the limits of the cgroup `path` and of those above it. In a container `path` may be that of
// the host, of which only the topmost folder exists here.
void AddCgroups(const std::string& mount, std::string path, const Names& names,
                std::vector<MemoryLimit>* limits) {
  while (true) {
    const std::string folder = absl::StrCat(mount, path, "/");
    const std::optional<int64_t> limit = FirstNumber(KernelFile(folder + names.limit));
    const std::optional<int64_t> usage = FirstNumber(KernelFile(folder + names.usage));
    if (limit.has_value() && usage.has_value() && *limit < kUnlimited) {
      std::map<std::string, int64_t> stat = Numbers(KernelFile(folder + "memory.stat"));
      const int64_t cached = stat[names.inactive] + stat[names.active];
      limits->push_back({absl::StrCat("the cgroup ", path.empty() ? "/" : path),
                         std::max<int64_t>(0, *limit - *usage + cached), *limit});
    }
    if (path.empty()) return;
    path.resize(path.rfind('/'));
  }
}

}  // namespace

std::vector<MemoryLimit> FindMemoryLimits(const std::string& root) {
  std::vector<MemoryLimit> limits;
  const std::map<std::string, int64_t> host = Numbers(KernelFile(root + "/proc/meminfo"));
  if (const auto available = host.find("MemAvailable"); available != host.end()) {
    const auto total = host.find("MemTotal");
    limits.push_back({"the host", available->second * 1024,
                      (total == host.end() ? available : total)->second * 1024});
  }
  // A line is "HIERARCHY:CONTROLLERS:PATH". The hierarchy of version 2 is 0, without controllers.
  const std::string cgroups = KernelFile(root + "/proc/self/cgroup");
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(cgroups, '\n'))) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3 || parts[2].empty() || parts[2][0] != '/') continue;
    const std::string path = parts[2] == "/" ? "" : parts[2];
    const std::vector<std::string> controllers = absl::StrSplit(parts[1], ',');
    if (parts[0] == "0" && parts[1].empty()) {
      AddCgroups(root + "/sys/fs/cgroup", path, kVersion2, &limits);
    } else if (std::find(controllers.begin(), controllers.end(), "memory") != controllers.end()) {
      AddCgroups(root + "/sys/fs/cgroup/memory", path, kVersion1, &limits);
    }
  }
  return limits;
}

int64_t ResidentBytes() {
  int64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace finetune
