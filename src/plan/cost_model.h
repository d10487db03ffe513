#ifndef FINETUNE_PLAN_COST_MODEL_H_
#define FINETUNE_PLAN_COST_MODEL_H_

#include "src/plan/link.h"

namespace finetune {

// The cost of a collective by the alpha-beta-gamma model of Thakur, Rabenseifner and Gropp 2005
// ("Optimization of Collective Communication Operations in MPICH"): sending a message of n bytes
// takes alpha + n beta, and summing its values takes n gamma. All ranks are equally fast. A link
// has its full bandwidth in both directions at once, and carries no other traffic.

// The hosts and links of a job. Rank r is on host r / ranks_per_host.
struct Cluster {
  // kAuto: the algorithm of the program itself, shared memory where all ranks are on one host,
  // otherwise one ring. kHierarchical: first inside each host, then between hosts, then inside each
  // host again.
  enum class Algorithm { kAuto, kRing, kHierarchical };

  Link between_hosts;
  Link within_host;
  int ranks_per_host = 1;
  // The bytes per second of one array that a rank adds to another array: 1 / gamma.
  double sum_bytes_per_second = 1e10;
  Algorithm algorithm = Algorithm::kAuto;
};

// Returns the seconds of an all-reduce of `bytes` in a ring of `ranks` (Patarasuk and Yuan 2009,
// "Bandwidth optimal all-reduce algorithms"), as RingAllReduce implements it. The ring takes 2
// (ranks - 1) steps, and each step sends a chunk of bytes / ranks. A chunk is sent in segments.
// With several segments a rank sums and forwards the first ones while later ones arrive, so that a
// long chunk hides the latency of all steps but the last. With one segment each step pays the
// latency.
double RingSeconds(double bytes, int ranks, const Link& link, double sum_bytes_per_second);

// Returns the seconds of an all-reduce of `bytes` over `ranks` ranks by the cluster's algorithm; 0
// for one rank.
double AllReduceSeconds(double bytes, int ranks, const Cluster& cluster);

// Returns the seconds to gather a few numbers from every rank: in log2(ranks) steps.
double GatherSeconds(int ranks, const Cluster& cluster);

}  // namespace finetune

#endif  // FINETUNE_PLAN_COST_MODEL_H_
