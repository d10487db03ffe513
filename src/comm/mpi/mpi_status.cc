#include "src/comm/mpi/mpi_status.h"

#include <mpi.h>

#include "absl/strings/str_cat.h"

namespace finetune {

absl::Status MpiStatus(int code, absl::string_view what) {
  if (code == MPI_SUCCESS) return absl::OkStatus();
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  return absl::UnavailableError(absl::StrCat(what, ": ", absl::string_view(text, length)));
}

}  // namespace finetune
