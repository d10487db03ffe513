#include "src/comm/agreement.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/annotate.h"
#include "src/base/status_macros.h"

namespace finetune {
namespace {

constexpr size_t kNamedRanks = 4;

// The type of the status payload that marks an error which every rank has.
constexpr absl::string_view kAgreed = "finetune/agreed";

// Appends the field's length (4 bytes) and then its bytes to `out`. TakeField() is the inverse.
void AppendField(absl::string_view field, std::string& out) {
  const auto size = static_cast<uint32_t>(field.size());
  out.append(reinterpret_cast<const char*>(&size), sizeof(size));
  out.append(field.data(), field.size());
}

std::string TakeField(absl::string_view& in) {
  uint32_t size = 0;
  if (in.size() < sizeof(size)) return "";
  std::memcpy(&size, in.data(), sizeof(size));
  in.remove_prefix(sizeof(size));
  std::string field(in.substr(0, size));
  in.remove_prefix(field.size());
  return field;
}

// Encodes a status as bytes: "" for OK, otherwise the code, the message and the payloads sorted by
// type. Equal statuses have equal bytes. Decode() is the inverse for errors.
std::string Encode(const absl::Status& status) {
  if (status.ok()) return "";
  std::string bytes(1, static_cast<char>(status.code()));
  AppendField(status.message(), bytes);
  std::map<std::string, std::string> payloads;
  status.ForEachPayload([&](absl::string_view type, const absl::Cord& payload) {
    payloads[std::string(type)] = std::string(payload);
  });
  for (const auto& [type, payload] : payloads) {
    AppendField(type, bytes);
    AppendField(payload, bytes);
  }
  return bytes;
}

// Decodes an error. `bytes` must not be empty.
absl::Status Decode(absl::string_view bytes) {
  const auto code = static_cast<absl::StatusCode>(bytes.front());
  bytes.remove_prefix(1);
  absl::Status status(code, TakeField(bytes));
  while (!bytes.empty()) {
    const std::string type = TakeField(bytes);
    status.SetPayload(type, absl::Cord(TakeField(bytes)));
  }
  return status;
}

}  // namespace

absl::Status CompareItems(const std::vector<std::vector<AgreementItem>>& by_rank,
                          const std::vector<std::string>& hosts) {
  std::vector<std::string> differences;
  for (size_t i = 0; i < by_rank[0].size(); ++i) {
    const std::string& name = by_rank[0][i].name;
    const auto value = [&](size_t rank) -> std::string {
      const std::vector<AgreementItem>& items = by_rank[rank];
      return i < items.size() && items[i].name == name ? items[i].value : "missing";
    };
    std::map<std::string, size_t> counts;
    for (size_t r = 0; r < by_rank.size(); ++r) ++counts[value(r)];
    if (counts.size() == 1) continue;
    std::string usual = value(0);
    for (const auto& [other, count] : counts) {
      if (count > counts[usual]) usual = other;
    }
    std::vector<std::string> ranks;
    size_t different = 0;
    for (size_t r = 0; r < by_rank.size(); ++r) {
      if (value(r) == usual) continue;
      if (++different > kNamedRanks) continue;
      ranks.push_back(absl::StrCat(value(r), " on rank ", r, " (host ", hosts[r], ")"));
    }
    if (different > kNamedRanks) {
      ranks.push_back(absl::StrCat("and ", different - kNamedRanks, " more ranks differ"));
    }
    const size_t first = std::find_if(by_rank.begin(), by_rank.end(),
                                      [&](const auto& items) {
                                        return i < items.size() && items[i].value == usual;
                                      }) -
                         by_rank.begin();
    differences.push_back(
        absl::StrCat(name, " is ", absl::StrJoin(ranks, ", "), ", but ", usual, " on ",
                     counts[usual] == 1 ? "" : absl::StrCat(counts[usual], " ranks such as "),
                     "rank ", first, " (host ", hosts[first], ")"));
  }
  if (differences.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the ranks differ: ", absl::StrJoin(differences, "; ")));
}

absl::Status CheckAgreement(absl::Span<const AgreementItem> items, Communicator& comm) {
  std::string mine;
  for (const AgreementItem& item : items) {
    AppendField(item.name, mine);
    AppendField(item.value, mine);
  }
  FT_ASSIGN_OR_RETURN(std::vector<std::string> all, comm.AllGather(mine));
  std::vector<std::vector<AgreementItem>> by_rank;
  for (absl::string_view text : all) {
    std::vector<AgreementItem>& theirs = by_rank.emplace_back();
    while (!text.empty()) {
      std::string name = TakeField(text);
      theirs.push_back({std::move(name), TakeField(text)});
    }
  }
  return CompareItems(by_rank, comm.world().hosts);
}

absl::Status Agree(const absl::Status& status, Communicator& comm) {
  const std::string mine = Encode(status);
  FT_ASSIGN_OR_RETURN(std::vector<std::string> all, comm.AllGather(mine));
  const auto first =
      std::find_if(all.begin(), all.end(), [](const std::string& text) { return !text.empty(); });
  if (first == all.end()) return absl::OkStatus();
  const absl::Status error = Decode(*first);
  if (std::count(all.begin(), all.end(), *first) == comm.size()) return MarkAgreed(error);
  const auto rank = static_cast<int>(first - all.begin());
  return MarkAgreed(Annotate(error, absl::StrCat("rank ", rank, " (host ", comm.host(rank), ")")));
}

bool IsAgreed(const absl::Status& status) { return status.GetPayload(kAgreed).has_value(); }

absl::Status MarkAgreed(absl::Status status) {
  status.SetPayload(kAgreed, absl::Cord());
  return status;
}

}  // namespace finetune
