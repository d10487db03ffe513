#include "src/data/hdf5_handle.h"

#include "absl/strings/str_cat.h"

namespace finetune {

absl::Status Hdf5Error(const std::string& file, const std::string& what) {
  std::string reason;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned depth, const H5E_error2_t* error, void* out) -> herr_t {
        // The first of an upward walk is the failure itself; those after it only say who called.
        if (depth == 0 && error->desc != nullptr) *static_cast<std::string*>(out) = error->desc;
        return 0;
      },
      &reason);
  H5Eclear2(H5E_DEFAULT);
  return absl::DataLossError(
      absl::StrCat(file, ": ", what, reason.empty() ? "" : absl::StrCat(" (", reason, ")")));
}

Hdf5Quiet::Hdf5Quiet() {
  H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Hdf5Quiet::~Hdf5Quiet() { H5Eset_auto2(H5E_DEFAULT, function_, data_); }

}  // namespace finetune
