#ifndef FINETUNE_COMM_AGREEMENT_H_
#define FINETUNE_COMM_AGREEMENT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "src/comm/communicator.h"

namespace finetune {

// A named value that must be the same on every rank, such as the config's digest. Without a check,
// ranks with different values would train different models and no error would tell.
struct AgreementItem {
  std::string name;   // for the error, such as "the config"
  std::string value;  // such as a digest, a version or a number
};

// Gathers the items of all ranks and compares them. Collective. Errors: FailedPrecondition, on
// every rank, when an item's value is not the same on all ranks. The message names the item, its
// most common value (in a tie rank 0's, where that is among the most common), and up to four ranks
// with another value, their hosts and their values.
absl::Status CheckAgreement(absl::Span<const AgreementItem> items, Communicator& comm);

// Compares the items of all ranks, which the caller has gathered. It does not communicate.
// by_rank[r]: rank r's items. hosts[r]: rank r's host. Errors: as CheckAgreement().
absl::Status CompareItems(const std::vector<std::vector<AgreementItem>>& by_rank,
                          const std::vector<std::string>& hosts);

// Gathers the status that each rank has after a step that can fail on some ranks only. Returns OK
// on every rank where all are OK. Otherwise it returns the error of the lowest failed rank on every
// rank, so that all ranks stop together: without this, the ranks that did not fail would wait for
// those that stopped. Where not all ranks have the same error, the message begins with the failed
// rank and its host. IsAgreed() is true of the returned error. Collective.
absl::Status Agree(const absl::Status& status, Communicator& comm);

// Returns whether `status` is an error that every rank has, because Agree() returned it or
// MarkAgreed() marked it. Each rank then ends by itself, so no rank need call Abort() to stop the
// others. An error that Annotate() made from an agreed error is a new one and does not count as
// agreed.
bool IsAgreed(const absl::Status& status);

// Marks an error as agreed and returns it. Call it only when every rank has this error.
absl::Status MarkAgreed(absl::Status status);

}  // namespace finetune

#endif  // FINETUNE_COMM_AGREEMENT_H_
