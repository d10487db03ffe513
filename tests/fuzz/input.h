#ifndef FINETUNE_TESTS_FUZZ_INPUT_H_
#define FINETUNE_TESTS_FUZZ_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

// The function that each fuzz target of this folder defines. libFuzzer calls it with one input
// after another. It returns 0. If the program under test does not keep a promise, it ends the
// process (see Expect()).
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace finetune {

// Returns an input as a string_view of the same memory.
absl::string_view Text(const uint8_t* data, size_t size);

// Splits an input at its lines "----", so that one input stands for several files. Returns `count`
// parts. Missing parts are empty; the last part has all of the rest, with its lines "----".
std::vector<absl::string_view> Parts(absl::string_view input, size_t count);

// Returns a folder of this process's own below TEST_TMPDIR, or below /tmp if that is not set. The
// first call creates it.
const std::string& InputFolder();

// Writes `bytes` to the file `name` in InputFolder(), which may exist. Returns its path.
std::string WriteInput(const std::string& name, absl::string_view bytes);

// If `holds` is false, prints `promise` to stderr and aborts the process.
void Expect(bool holds, const char* promise);

}  // namespace finetune

#endif  // FINETUNE_TESTS_FUZZ_INPUT_H_
