// Fuzzes the parser of pickles, which reads them as data and runs no code of theirs.
#include "src/checkpoint/pickle.h"

#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto graph = finetune::PickleGraph::Parse(finetune::Text(data, size));
  if (!graph.ok()) return 0;
  finetune::Expect(graph->size() <= size, "a pickle ends in its bytes");
  (void)finetune::FindTextOrBytes(*graph, graph->root(), "data");
  for (uint32_t i = 0; i < graph->nodes().size(); ++i) {
    (void)finetune::GetByteArray(*graph, finetune::PickleGraph::Ref{i});
    (void)finetune::DecodeLatin1(graph->nodes()[i].text);
  }
  return 0;
}
