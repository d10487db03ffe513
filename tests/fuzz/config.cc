// Fuzzes the reader of configs. An input has three parts, separated by lines "----": a config, the
// config that it imports as "base.pbtxt", and overrides, one on each line. Expects that the printed
// text of a config that loads also loads, and gives the same config.
#include "src/config/config.h"

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "src/config/print.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<absl::string_view> parts =
      finetune::Parts(finetune::Text(data, size), /*count=*/3);
  finetune::WriteInput("base.pbtxt", parts[1]);
  const auto loaded = finetune::LoadConfig(
      finetune::WriteInput("main.pbtxt", parts[0]),
      {{finetune::InputFolder()}, absl::StrSplit(parts[2], '\n', absl::SkipEmpty())});
  if (!loaded.ok()) return 0;
  for (const bool with_origins : {false, true}) {
    const std::string text = finetune::PrintConfig(*loaded, with_origins);
    const auto again = finetune::LoadConfigText(text, "printed", {});
    finetune::Expect(again.ok(), "a printed config loads");
    if (absl::StrContains(text, "***")) continue;  // a password or token in a URL is hidden
    finetune::Expect(finetune::ConfigHash(again->config) == finetune::ConfigHash(loaded->config),
                     "a printed config is the same config");
  }
  return 0;
}
