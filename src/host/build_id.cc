#include "src/host/build_id.h"

#include <elf.h>
#include <link.h>

#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace finetune {
namespace {

constexpr size_t Padded(size_t size) { return (size + 3) / 4 * 4; }

// Returns the bytes of the GNU build id from the ELF notes in memory [at, at + size), or an empty
// view where no note holds one.
absl::string_view FindBuildId(const char* at, size_t size) {
  while (size >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note;
    std::memcpy(&note, at, sizeof(note));
    const size_t whole = sizeof(note) + Padded(note.n_namesz) + Padded(note.n_descsz);
    if (whole > size) break;
    const absl::string_view name(at + sizeof(note), note.n_namesz);
    if (note.n_type == NT_GNU_BUILD_ID && name == absl::string_view("GNU\0", 4)) {
      return {at + sizeof(note) + Padded(note.n_namesz), note.n_descsz};
    }
    at += whole;
    size -= whole;
  }
  return {};
}

struct Search {
  absl::string_view library;  // "": the program
  std::string id = "unknown";
};

// A callback of dl_iterate_phdr(), which calls it for each loaded object. Stores the build id of
// the object named in `data`, a Search, and returns 1 there to end the search; otherwise returns 0.
// The first object is the program itself, whose name is empty.
int Visit(dl_phdr_info* info, size_t, void* data) {
  Search& search = *static_cast<Search*>(data);
  absl::string_view name = info->dlpi_name;
  name.remove_prefix(name.rfind('/') + 1);
  if (name != search.library) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    if (header.p_type != PT_NOTE) continue;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the loader gives addresses as integers.
    const auto* note = reinterpret_cast<const char*>(info->dlpi_addr + header.p_vaddr);
    const absl::string_view id = FindBuildId(note, header.p_memsz);
    if (!id.empty()) search.id = absl::BytesToHexString(id);
  }
  return 1;
}

}  // namespace

std::string BuildId(absl::string_view library) {
  Search search = {library};
  dl_iterate_phdr(Visit, &search);
  return search.id;
}

}  // namespace finetune
