#include "src/comm/affinity.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"

namespace finetune {
namespace {

// A processor. Hundreds that wait for each other in turn take minutes for what one does in a
// second.
constexpr int kMostThreads = 16;

// A small file of /proc or /sys; empty when it is not there.
std::string Contents(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// The value of "Key:\tvalue" in a process's status.
std::string StatusField(absl::string_view pid, absl::string_view key) {
  const std::string status = Contents(absl::StrCat("/proc/", pid, "/status"));
  for (absl::string_view line : absl::StrSplit(status, '\n')) {
    if (absl::ConsumePrefix(&line, key) && absl::ConsumePrefix(&line, ":")) {
      return std::string(absl::StripAsciiWhitespace(line));
    }
  }
  return "";
}

// The nearest ancestor that launches ranks; this process where there is none.
std::string LauncherPid() {
  std::string pid = absl::StrCat(getppid());
  for (int generation = 0; generation < 8; ++generation) {
    const std::string name = StatusField(pid, "Name");
    for (const char* launcher :
         {"mpirun", "mpiexec", "orterun", "orted", "prterun", "prted", "slurmstepd"}) {
      if (name == launcher) return pid;
    }
    pid = StatusField(pid, "PPid");
    if (pid.empty() || pid == "0") break;
  }
  return "self";
}

bool BoundByDefault() {
  // Open MPI 4: mpirun hands --bind-to on as this parameter.
  return std::getenv("OMPI_MCA_orte_bound_at_launch") != nullptr &&
         std::getenv("OMPI_MCA_hwloc_base_binding_policy") == nullptr &&
         std::getenv("OMPI_MCA_rmaps_base_mapping_policy") == nullptr &&
         std::getenv("OMPI_MCA_hwloc_base_cpu_set") == nullptr;
}

HostCpus ThisHost(std::vector<std::vector<int>> rank_cpus) {
  HostCpus host;
  host.rank_cpus = std::move(rank_cpus);
  if (auto cpus = ParseCpuList(StatusField(LauncherPid(), "Cpus_allowed_list")); cpus.ok()) {
    host.launcher_cpus = *std::move(cpus);
  }
  host.bound_by_default = BoundByDefault();
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    auto siblings = ParseCpuList(absl::StripAsciiWhitespace(Contents(
        absl::StrCat("/sys/devices/system/cpu/cpu", cpu, "/topology/thread_siblings_list"))));
    if (!siblings.ok()) break;
    host.core_of.push_back(siblings->front());
  }
  // Control groups, version 2: "max 100000" or "200000 100000".
  const std::string limit = Contents("/sys/fs/cgroup/cpu.max");
  const std::vector<absl::string_view> parts =
      absl::StrSplit(absl::StripAsciiWhitespace(limit), ' ');
  double quota = 0;
  double period = 0;
  if (parts.size() == 2 && absl::SimpleAtod(parts[0], &quota) &&
      absl::SimpleAtod(parts[1], &period) && period > 0) {
    host.quota = quota / period;
  }
  return host;
}

}  // namespace

absl::StatusOr<std::vector<int>> ParseCpuList(absl::string_view text) {
  std::vector<int> cpus;
  for (absl::string_view range : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(range, '-');
    int first = 0;
    int last = 0;
    if (ends.size() > 2 || !absl::SimpleAtoi(ends.front(), &first) ||
        !absl::SimpleAtoi(ends.back(), &last) || first < 0 || last < first || last >= CPU_SETSIZE) {
      return absl::InvalidArgumentError(absl::StrCat("not a list of processors: '", text, "'"));
    }
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

absl::StatusOr<CpuPlan> PlanCpus(const HostCpus& host, int index, int requested) {
  if (requested < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("runtime.threads: ", requested, "; 0 or more is needed"));
  }
  const bool rebind = host.bound_by_default && !host.launcher_cpus.empty();
  const auto cpus_of = [&](int rank) -> const std::vector<int>& {
    return rebind ? host.launcher_cpus : host.rank_cpus[rank];
  };
  // The ranks this one divides its processors with, and its place among them.
  int sharing = 0;
  int place = 0;
  for (int rank = 0; rank < static_cast<int>(host.rank_cpus.size()); ++rank) {
    if (cpus_of(rank) != cpus_of(index)) continue;
    if (rank < index) ++place;
    ++sharing;
  }
  // Hyperthreads by core.
  std::map<int, std::vector<int>> cores;
  for (int cpu : cpus_of(index)) {
    cores[cpu < static_cast<int>(host.core_of.size()) ? host.core_of[cpu] : cpu].push_back(cpu);
  }
  const auto count = static_cast<int>(cores.size());
  const auto processors = static_cast<int>(cpus_of(index).size());
  if (requested > kMostThreads * std::max(processors, 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("runtime.threads: ", requested, ", but this rank has ", processors,
                     " processor", processors == 1 ? "" : "s", "; 0 takes one thread a core"));
  }
  CpuPlan plan;
  if (count < sharing) {
    plan.threads = requested > 0 ? requested : 1;
    if (rebind) plan.cpus = host.launcher_cpus;
    plan.note = absl::StrCat(sharing, " ranks share ", count, " core", count == 1 ? "" : "s",
                             ": they will run slower than ", count, " would");
    return plan;
  }
  const int begin = count * place / sharing;
  const int end = count * (place + 1) / sharing;
  int at = 0;
  for (const auto& [core, cpus] : cores) {
    if (at >= begin && at < end) plan.cpus.insert(plan.cpus.end(), cpus.begin(), cpus.end());
    ++at;
  }
  std::sort(plan.cpus.begin(), plan.cpus.end());
  plan.threads = end - begin;
  if (host.quota > 0) {
    const int ranks = static_cast<int>(host.rank_cpus.size());
    plan.threads = std::clamp(static_cast<int>(host.quota / ranks), 1, plan.threads);
  }
  if (requested > 0) {
    if (requested > static_cast<int>(plan.cpus.size())) {
      plan.note = absl::StrCat(
          "runtime.threads: ", requested, ", but this rank has ", plan.cpus.size(), " processor",
          plan.cpus.size() == 1 ? "" : "s", " (", absl::StrJoin(plan.cpus, ","),
          "); start fewer ranks a host, or bind each to more (mpirun --map-by slot:PE=", requested,
          ")");
    }
    plan.threads = requested;
  }
  return plan;
}

absl::StatusOr<CpuPlan> PlanCpus(int requested, Communicator& comm) {
  const std::string mine =
      absl::StrCat(comm.host(comm.rank()), "\n", StatusField("self", "Cpus_allowed_list"));
  FT_ASSIGN_OR_RETURN(std::vector<std::string> all, comm.AllGather(mine));
  std::vector<std::vector<int>> rank_cpus;
  int index = 0;
  for (int rank = 0; rank < comm.size(); ++rank) {
    const std::vector<std::string> parts = absl::StrSplit(all[rank], '\n');
    if (parts.size() != 2 || parts[0] != comm.host(comm.rank())) continue;
    if (rank == comm.rank()) index = static_cast<int>(rank_cpus.size());
    FT_ASSIGN_OR_RETURN(rank_cpus.emplace_back(), ParseCpuList(parts[1]));
  }
  return PlanCpus(ThisHost(std::move(rank_cpus)), index, requested);
}

void RestartUnbound(char** argv) {
  const char* local_size = std::getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  int ranks = 0;
  if (!BoundByDefault() || local_size == nullptr || !absl::SimpleAtoi(local_size, &ranks)) return;
  const auto own = ParseCpuList(StatusField("self", "Cpus_allowed_list"));
  const auto all = ParseCpuList(StatusField(LauncherPid(), "Cpus_allowed_list"));
  if (!own.ok() || !all.ok() || own->size() * ranks >= all->size()) return;
  std::error_code error;
  const std::string program = std::filesystem::read_symlink("/proc/self/exe", error).string();
  if (error || !BindThread(*all).ok()) return;
  // A control group may allow no more. The program started again comes here again, too.
  const auto now = ParseCpuList(StatusField("self", "Cpus_allowed_list"));
  if (now.ok() && now->size() > own->size()) execv(program.c_str(), argv);
  BindThread(*own).IgnoreError();
}

absl::Status BindThread(const std::vector<int>& cpus) {
  if (cpus.empty()) return absl::OkStatus();
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu : cpus) CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0) {
    return absl::InternalError(
        absl::StrCat("cannot run on processors ", absl::StrJoin(cpus, ","), ": ", strerror(errno)));
  }
  return absl::OkStatus();
}

}  // namespace finetune
