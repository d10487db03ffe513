// Fuzzes the reader of a data set's manifest.pbtxt. Expects that a manifest that can be read is the
// same after it is sealed and read again.
#include "src/data/manifest.h"

#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  finetune::WriteInput(finetune::kManifestFile, finetune::Text(data, size));
  const auto manifest = finetune::ReadManifest(finetune::InputFolder());
  if (!manifest.ok()) return 0;
  for (const auto& split : manifest->split()) {
    finetune::Expect(finetune::ImageCount(split) > 0, "a split has images");
    (void)finetune::SplitDigest(*manifest, split);
  }
  finetune::WriteInput(finetune::kManifestFile, finetune::SealManifest(*manifest));
  const auto again = finetune::ReadManifest(finetune::InputFolder());
  finetune::Expect(again.ok(), "a sealed manifest is read");
  finetune::Expect(finetune::ManifestDigest(*again) == finetune::ManifestDigest(*manifest),
                   "a sealed manifest is the same manifest");
  return 0;
}
