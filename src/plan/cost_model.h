#ifndef FINETUNE_PLAN_COST_MODEL_H_
#define FINETUNE_PLAN_COST_MODEL_H_

#include "src/plan/link.h"

namespace finetune {

// The cost of a collective by the alpha-beta-gamma model of Thakur, Rabenseifner and Gropp 2005
// ("Optimization of Collective Communication Operations in MPICH"): a message of n bytes takes
// alpha + n beta, and summing it takes n gamma. All ranks are equally fast. A link carries both
// directions at full speed and nothing else.

// The hosts and links of a job. Rank r is on host r / ranks_per_host.
struct Cluster {
  // kAuto is what the program does: shared memory for ranks of one host, else one ring.
  // kHierarchical: first inside each host, then between hosts, then inside each host again.
  enum class Algorithm { kAuto, kRing, kHierarchical };

  Link between_hosts;
  Link within_host;
  int ranks_per_host = 1;
  // The speed at which a rank adds one array to another: 1 / gamma.
  double sum_bytes_per_second = 1e10;
  Algorithm algorithm = Algorithm::kAuto;
};

// Returns the seconds of an all-reduce of `bytes` in a ring of `ranks` (Patarasuk and Yuan 2009,
// "Bandwidth optimal all-reduce algorithms"): 2 (ranks - 1) steps of bytes / ranks, as
// RingAllReduce does it. There a chunk travels in segments. A chunk of several segments is summed
// and sent on before it is complete, and a long one hides the latency of all steps but the last. A
// chunk of one segment pays the latency in each step.
double RingSeconds(double bytes, int ranks, const Link& link, double sum_bytes_per_second);

// Returns the seconds of an all-reduce of `bytes` over `ranks` ranks by the cluster's algorithm; 0
// for one rank.
double AllReduceSeconds(double bytes, int ranks, const Cluster& cluster);

// Returns the seconds of a gather of a few numbers from every rank: log2(ranks) steps.
double GatherSeconds(int ranks, const Cluster& cluster);

}  // namespace finetune

#endif  // FINETUNE_PLAN_COST_MODEL_H_
