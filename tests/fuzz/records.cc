// Fuzzes the reader of a run's records (*.jsonl). Expects that records that can be read can also be
// written and read again, with the same number of runs.
#include "src/observe/record.h"
#include "tests/fuzz/input.h"

namespace {

std::string ToLines(const finetune::History& history) {
  std::string lines;
  for (const auto& run : history.runs) lines += finetune::ToJson(run) + "\n";
  for (const auto& iteration : history.iterations) lines += finetune::ToJson(iteration) + "\n";
  for (const auto& evaluation : history.evaluations) lines += finetune::ToJson(evaluation) + "\n";
  return lines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  finetune::History history, again;
  if (!finetune::AddRecords(finetune::Text(data, size), &history).ok()) return 0;
  const std::string lines = ToLines(history);
  finetune::Expect(finetune::AddRecords(lines, &again).ok(), "written records are read");
  finetune::Expect(again.runs.size() == history.runs.size(), "every run is read again");
  return 0;
}
