#include "src/plan/cost_model.h"

#include <algorithm>
#include <cmath>

#include "src/base/ceil_divide.h"

namespace finetune {
namespace {

// Constants of src/comm/mpi/mpi_communicator.cc. kSegmentBytes: the size of one message of a ring.
// kExchangeBytes: up to this size of all ranks' data together, each rank sends its data to every
// other rank instead of using a ring.
constexpr double kSegmentBytes = 60 << 10;
constexpr double kExchangeBytes = 64 << 10;

// Returns the slowest link of a ring over all ranks, for which the ring waits in each step.
Link Slowest(const Cluster& cluster) {
  if (cluster.ranks_per_host == 1) return cluster.between_hosts;
  return {"",
          std::min(cluster.between_hosts.bytes_per_second, cluster.within_host.bytes_per_second),
          std::max(cluster.between_hosts.latency_s, cluster.within_host.latency_s)};
}

}  // namespace

double RingSeconds(double bytes, int ranks, const Link& link, double sum_bytes_per_second) {
  if (ranks <= 1 || bytes <= 0) return 0;
  const double steps = ranks - 1;
  const double alpha = link.latency_s;
  const double beta = 1 / link.bytes_per_second;
  const double gamma = 1 / sum_bytes_per_second;
  const double chunk = bytes / ranks;
  const double segment = std::min(chunk, kSegmentBytes);
  // Either the link (or the core that sums) is always busy ...
  const double busy = steps * chunk * (std::max(beta, gamma) + beta) + alpha;
  // ... or each step waits for the first segment of the step before.
  const double waiting =
      steps * (2 * (alpha + segment * beta) + segment * gamma) + (chunk - segment) * beta;
  return std::max(busy, waiting);
}

double AllReduceSeconds(double bytes, int ranks, const Cluster& cluster) {
  if (ranks <= 1 || bytes <= 0) return 0;
  const double sum = cluster.sum_bytes_per_second;
  if (ranks <= cluster.ranks_per_host) return RingSeconds(bytes, ranks, cluster.within_host, sum);
  if (cluster.algorithm == Cluster::Algorithm::kHierarchical) {
    const auto hosts = static_cast<int>(CeilDivide(ranks, cluster.ranks_per_host));
    // After the all-reduce inside each host, each of its ranks owns a part of the sums and
    // all-reduces that part in a ring over the hosts. These rings share the host's link.
    return RingSeconds(bytes, cluster.ranks_per_host, cluster.within_host, sum) +
           RingSeconds(bytes, hosts, cluster.between_hosts, sum);
  }
  const Link slowest = Slowest(cluster);
  if (cluster.algorithm == Cluster::Algorithm::kAuto && bytes * ranks <= kExchangeBytes) {
    return slowest.latency_s + (ranks - 1) * bytes * (1 / slowest.bytes_per_second + 1 / sum);
  }
  return RingSeconds(bytes, ranks, slowest, sum);
}

double GatherSeconds(int ranks, const Cluster& cluster) {
  if (ranks <= 1) return 0;
  const double latency = ranks <= cluster.ranks_per_host ? cluster.within_host.latency_s
                                                         : cluster.between_hosts.latency_s;
  return std::ceil(std::log2(ranks)) * latency;
}

}  // namespace finetune
