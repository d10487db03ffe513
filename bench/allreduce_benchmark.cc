// What an all-reduce costs, by algorithm and message size:
//
//   mpirun -np 2 allreduce_benchmark [--min=4096] [--max=104857600] [--seconds=0.5] [--json=FILE]
//
// Prints the median time and the algorithm's bandwidth, 2 (ranks - 1) / ranks * bytes / time: what
// each rank must send at least, whatever the number of ranks.
#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "src/base/atomic_file.h"
#include "src/base/status_macros.h"
#include "src/comm/mpi_communicator.h"
#include "src/comm/mpi_status.h"

namespace finetune {
namespace {

struct Flags {
  int64_t min = 4096;
  int64_t max = 100 << 20;
  double seconds = 0.5;
  std::string json;
};

absl::StatusOr<Flags> Parse(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    absl::string_view flag = argv[i];
    bool good = true;
    if (absl::ConsumePrefix(&flag, "--min=")) {
      good = absl::SimpleAtoi(flag, &flags.min);
    } else if (absl::ConsumePrefix(&flag, "--max=")) {
      good = absl::SimpleAtoi(flag, &flags.max);
    } else if (absl::ConsumePrefix(&flag, "--seconds=")) {
      good = absl::SimpleAtod(flag, &flags.seconds);
    } else if (absl::ConsumePrefix(&flag, "--json=")) {
      flags.json = std::string(flag);
    } else {
      good = false;
    }
    if (!good || flags.min < 4)
      return absl::InvalidArgumentError(absl::StrFormat("unknown flag: %s", argv[i]));
  }
  return flags;
}

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<int64_t> Sizes(const Flags& flags) {
  std::vector<int64_t> sizes;
  for (int64_t bytes = flags.min; bytes < flags.max; bytes *= 4) sizes.push_back(bytes);
  sizes.push_back(flags.max);
  return sizes;
}

double Median(std::vector<double>& times) {
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

void AddRow(const char* algorithm, int ranks, int64_t bytes, double seconds, std::string& table,
            nlohmann::json& rows) {
  const double bandwidth = 2.0 * (ranks - 1) / ranks * static_cast<double>(bytes) / seconds / 1e9;
  absl::StrAppendFormat(&table, "%-26s %12d %12.1f %10.3f\n", algorithm, bytes, seconds * 1e6,
                        bandwidth);
  rows.push_back(
      {{"algorithm", algorithm}, {"ranks", ranks}, {"bytes", bytes}, {"seconds", seconds}});
}

struct Way {
  const char* name;
  MpiConfig::Algorithm algorithm;
  Wire wire;
  bool buffer;  // memory of AllocateBuffer's
};

// The median of the slowest rank's times.
absl::StatusOr<double> Measure(Communicator& comm, const at::Tensor& tensor, Wire wire,
                               double seconds) {
  std::vector<double> times;
  double left = seconds;
  while (left > 0 || times.size() < 5) {
    FT_RETURN_IF_ERROR(comm.Barrier());
    const double start = Seconds();
    FT_ASSIGN_OR_RETURN(auto work, comm.AllReduceSum(tensor, wire));
    FT_RETURN_IF_ERROR(work->Wait());
    const double took = Seconds() - start;
    FT_ASSIGN_OR_RETURN(
        auto all, comm.AllGather(std::string(reinterpret_cast<const char*>(&took), sizeof(took))));
    double slowest = 0;
    for (const std::string& bytes : all)
      slowest = std::max(slowest, *reinterpret_cast<const double*>(bytes.data()));
    times.push_back(slowest);
    left -= slowest;
  }
  return Median(times);
}

// MPI_Allreduce itself: Open MPI's tuned choice, which keeps its core busy while it waits.
absl::Status MeasureMpi(const Flags& flags, std::string& table, nlohmann::json& rows) {
  int size = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  std::vector<float> memory(flags.max / 4, 1.f);
  for (int64_t bytes : Sizes(flags)) {
    std::vector<double> times;
    double left = flags.seconds;
    while (left > 0 || times.size() < 5) {
      FT_RETURN_IF_ERROR(MpiStatus(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier"));
      double took = Seconds();
      FT_RETURN_IF_ERROR(
          MpiStatus(MPI_Allreduce(MPI_IN_PLACE, memory.data(), static_cast<int>(bytes / 4),
                                  MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD),
                    "MPI_Allreduce"));
      took = Seconds() - took;
      double slowest = 0;
      FT_RETURN_IF_ERROR(MpiStatus(
          MPI_Allreduce(&took, &slowest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD), "MPI_Allreduce"));
      times.push_back(slowest);
      left -= slowest;
    }
    AddRow("MPI_Allreduce, blocking", size, bytes, Median(times), table, rows);
  }
  return absl::OkStatus();
}

absl::Status Run(const MpiSession& session, const Flags& flags) {
  const Way ways[] = {
      {"shared memory, own buffer", MpiConfig::SHARED_MEMORY, Wire::kFloat32, true},
      {"shared memory, any tensor", MpiConfig::SHARED_MEMORY, Wire::kFloat32, false},
      {"ring", MpiConfig::RING, Wire::kFloat32, false},
      {"ring, bf16", MpiConfig::RING, Wire::kBFloat16, false},
      {"ring, fp16", MpiConfig::RING, Wire::kFloat16, false},
      {"AUTO across hosts", MpiConfig::AUTO, Wire::kFloat32, false},
      {"MPI_Iallreduce", MpiConfig::MPI_CHOICE, Wire::kFloat32, false},
  };
  nlohmann::json rows = nlohmann::json::array();
  std::string table =
      absl::StrFormat("%-26s %12s %12s %10s\n", "algorithm", "bytes", "microseconds", "GB/s");
  bool first = false;
  for (const Way& way : ways) {
    CommConfig config;
    config.mutable_mpi()->set_algorithm(way.algorithm);
    absl::StatusOr<std::unique_ptr<MpiCommunicator>> comm =
        MpiCommunicator::Create(session, config, {});
    // Shared memory on several hosts: not there.
    if (absl::IsInvalidArgument(comm.status())) continue;
    FT_RETURN_IF_ERROR(comm.status());
    first = (*comm)->rank() == 0;
    const int size = (*comm)->size();
    if (way.algorithm == MpiConfig::AUTO && (*comm)->local_size() == size) continue;
    at::Tensor memory = at::ones({flags.max / 4});
    if (way.buffer) {
      FT_ASSIGN_OR_RETURN(memory, (*comm)->AllocateBuffer(flags.max / 4));
    }
    for (int64_t bytes : Sizes(flags)) {
      FT_ASSIGN_OR_RETURN(double time,
                          Measure(**comm, memory.narrow(0, 0, bytes / 4), way.wire, flags.seconds));
      AddRow(way.name, size, bytes, time, table, rows);
    }
  }
  FT_RETURN_IF_ERROR(MeasureMpi(flags, table, rows));
  if (!first) return absl::OkStatus();
  std::printf("%s", table.c_str());
  if (flags.json.empty()) return absl::OkStatus();
  return WriteFileAtomically(flags.json, rows.dump(1));
}

int Main(int argc, char** argv) {
  absl::StatusOr<MpiSession> session = MpiSession::Start(&argc, &argv);
  absl::StatusOr<Flags> flags = Parse(argc, argv);
  absl::Status status = session.ok() ? flags.status() : session.status();
  if (status.ok()) status = Run(*session, *flags);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace finetune

int main(int argc, char** argv) { return finetune::Main(argc, argv); }
