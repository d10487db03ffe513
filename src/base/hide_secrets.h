#ifndef FINETUNE_BASE_HIDE_SECRETS_H_
#define FINETUNE_BASE_HIDE_SECRETS_H_

#include <string>

#include "absl/strings/string_view.h"

namespace finetune {

// Stands in place of a secret.
inline constexpr absl::string_view kHiddenSecret = "***";

// Returns a URL for logs, messages and files, without the parts that may be secret. The user and
// password, the query and the fragment become "***": "https://me:word@host/x.pth?token=1" becomes
// "https://***@host/x.pth?***". A query that only switches something on or off ("?download=true")
// stays. A file:// URL, and a text that is not a URL, are returned as they are.
std::string HideSecretsOfUrl(absl::string_view url);

// Returns a text with HideSecretsOfUrl() of each URL in it. A URL ends at a space, a control
// character or a double quote.
std::string HideSecrets(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_BASE_HIDE_SECRETS_H_
