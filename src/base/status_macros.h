#ifndef FINETUNE_BASE_STATUS_MACROS_H_
#define FINETUNE_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"    // IWYU pragma: export
#include "absl/status/statusor.h"  // IWYU pragma: export

// Returns from the enclosing function when `expr` is an error:
//   FT_RETURN_IF_ERROR(file.Write(bytes));
#define FT_RETURN_IF_ERROR(expr)                            \
  do {                                                      \
    if (absl::Status ft_status = (expr); !ft_status.ok()) { \
      return ft_status;                                     \
    }                                                       \
  } while (false)

// Declares or assigns `lhs` from the value of a StatusOr, or returns the StatusOr's error from the
// enclosing function:
//   FT_ASSIGN_OR_RETURN(Manifest manifest, ReadManifest(folder));
#define FT_ASSIGN_OR_RETURN(lhs, expr) \
  FT_ASSIGN_OR_RETURN_IMPL_(FT_CONCAT_(ft_statusor_, __LINE__), lhs, expr)
// NOLINTBEGIN(bugprone-macro-parentheses): a declared name cannot stand in parentheses.
#define FT_ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expr) \
  auto tmp = (expr);                              \
  if (!tmp.ok()) {                                \
    return std::move(tmp).status();               \
  }                                               \
  lhs = *std::move(tmp)
// NOLINTEND(bugprone-macro-parentheses)
#define FT_CONCAT_(a, b) FT_CONCAT_INNER_(a, b)
#define FT_CONCAT_INNER_(a, b) a##b

#endif  // FINETUNE_BASE_STATUS_MACROS_H_
