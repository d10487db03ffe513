#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/comm/communicator.h"

namespace finetune {

absl::Status CheckAgreement(const std::vector<AgreedItem>& items, Communicator* comm) {
  // Values with a character of their own between them: none of them is free text.
  constexpr char kSeparator = '\x1f';
  std::string text = comm->host();
  for (const AgreedItem& item : items)
    absl::StrAppend(&text, std::string(1, kSeparator), item.value);
  FT_ASSIGN_OR_RETURN(std::vector<std::string> all, comm->Gather(text));
  const std::vector<std::string> first = absl::StrSplit(all[0], kSeparator);
  for (size_t rank = 1; rank < all.size(); ++rank) {
    const std::vector<std::string> other = absl::StrSplit(all[rank], kSeparator);
    for (size_t i = 0; i < items.size(); ++i) {
      const std::string theirs = i + 1 < other.size() ? other[i + 1] : "nothing";
      if (theirs == first[i + 1]) continue;
      return absl::FailedPreconditionError(absl::StrCat(
          "the ranks differ: ", items[i].name, " is ", theirs, " on rank ", rank, " (host ",
          other[0], ") and ", first[i + 1], " on rank 0 (host ", first[0], ")"));
    }
  }
  return absl::OkStatus();
}

}  // namespace finetune
