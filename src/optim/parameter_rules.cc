#include "src/optim/parameter_rules.h"

#include <re2/re2.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/config/field_error.h"

namespace finetune {
namespace {

RE2::Options Quiet() {
  RE2::Options options;
  options.set_log_errors(false);
  return options;
}

// Returns a rule's regular expression as the user wrote it in the config, in quotes.
std::string Quoted(const ParameterRule& rule) {
  return absl::StrCat("\"", absl::Utf8SafeCEscape(rule.match()), "\"");
}

}  // namespace

void CheckParameterRules(const OptimizerConfig& config, const Problems& problems) {
  for (int i = 0; i < config.rule_size(); ++i) {
    const ParameterRule& rule = config.rule(i);
    const Problems here = problems.Within("rule", i);
    const RE2 pattern(rule.match(), Quiet());
    if (rule.match().empty()) {
      here.Error("match", "is not set");
    } else if (!pattern.ok()) {
      here.WrongValue("match",
                      absl::StrCat("is ", Quoted(rule),
                                   "; expected a regular expression in RE2's syntax, and found: ",
                                   pattern.error()));
    }
    here.AtLeast("lr_multiplier", rule.lr_multiplier(), 0);
    here.AtLeast("weight_decay_multiplier", rule.weight_decay_multiplier(), 0);
  }
  problems.IsFactor("layer_decay", config.layer_decay());
}

absl::StatusOr<std::vector<ParameterGroup>> GroupParameters(const OptimizerConfig& config,
                                                            absl::Span<const ParameterSpan> spans,
                                                            const TraitsByName& traits) {
  std::deque<RE2> patterns;
  for (const ParameterRule& rule : config.rule()) patterns.emplace_back(rule.match(), Quiet());
  std::vector<bool> used(patterns.size(), false);
  std::vector<ParameterGroup> groups;
  for (const ParameterSpan& span : spans) {
    ParameterGroup group = {span.offset, span.offset + span.count, 1, 1};
    if (const auto found = traits.find(span.name); found != traits.end()) {
      const ParameterTraits& own = found->second;
      group.lr_multiplier = std::pow(config.layer_decay(), own.parts_behind);
      if (own.is_norm_or_bias && !config.decay_norm_and_bias()) group.weight_decay_multiplier = 0;
    }
    const auto matching = std::find_if(patterns.begin(), patterns.end(), [&](const RE2& pattern) {
      return RE2::PartialMatch(span.name, pattern);
    });
    if (matching != patterns.end()) {
      const auto i = matching - patterns.begin();
      used[i] = true;
      const ParameterRule& rule = config.rule(static_cast<int>(i));
      group.lr_multiplier *= rule.lr_multiplier();
      if (rule.has_weight_decay_multiplier()) {
        group.weight_decay_multiplier = rule.weight_decay_multiplier();
      }
    }
    if (!groups.empty() && groups.back().end == group.begin &&
        groups.back().lr_multiplier == group.lr_multiplier &&
        groups.back().weight_decay_multiplier == group.weight_decay_multiplier) {
      groups.back().end = group.end;
    } else {
      groups.push_back(group);
    }
  }
  for (int i = 0; i < config.rule_size(); ++i) {
    if (used[i]) continue;
    return FieldError(
        absl::StrCat("optimizer.rule[", i, "].match"),
        absl::StrCat("is ", Quoted(config.rule(i)),
                     ", which matches no trained parameter, or only those of an earlier rule",
                     spans.empty() ? ""
                                   : absl::StrCat("; the parameters have names such as \"",
                                                  spans.front().name, "\"")));
  }
  return groups;
}

}  // namespace finetune
