#include "src/train/agree.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace finetune {

absl::Status AgreeOn(const absl::Status& status, Communicator* comm) {
  const std::string mine =
      status.ok() ? std::string()
                  : absl::StrCat(static_cast<int>(status.code()), " ", status.message());
  FT_ASSIGN_OR_RETURN(std::vector<std::string> all, comm->AllGather(mine));
  const auto first =
      std::find_if(all.begin(), all.end(), [](const std::string& text) { return !text.empty(); });
  if (first == all.end()) return absl::OkStatus();
  const int rank = static_cast<int>(first - all.begin());
  const size_t space = first->find(' ');
  int code = static_cast<int>(absl::StatusCode::kInternal);
  if (!absl::SimpleAtoi(first->substr(0, space), &code)) return absl::InternalError(*first);
  std::string message = first->substr(space + 1);
  const bool everyones =
      std::all_of(all.begin(), all.end(), [&](const std::string& text) { return text == *first; });
  if (!everyones)
    message = absl::StrCat("rank ", rank, " (host ", comm->host(rank), "): ", message);
  return absl::Status(static_cast<absl::StatusCode>(code), message);
}

}  // namespace finetune
