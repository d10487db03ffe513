#include "src/main/completion.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace finetune {
namespace {

// Returns `text` in a shell's single quotes.
std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::vector<Flag> FlagsOf(Command& command) {
  FlagList list;
  command.AddFlags(&list);
  return list.flags();
}

std::vector<std::string> NamesOf(const CommandList& commands) {
  std::vector<std::string> names;
  names.reserve(commands.size());
  for (const auto& command : commands) names.push_back(command->name());
  return names;
}

// Returns the topics of the help: the commands, and the paths of all fields with those of the
// messages that they are in.
std::vector<std::string> TopicsOf(const CommandList& commands,
                                  const std::vector<ValueField>& fields) {
  std::vector<std::string> topics = NamesOf(commands);
  std::set<std::string> known(topics.begin(), topics.end());
  for (const ValueField& field : fields) {
    for (size_t end = field.path.find('.');; end = field.path.find('.', end + 1)) {
      const std::string path = field.path.substr(0, end);
      if (known.insert(path).second) topics.push_back(path);
      if (end == std::string::npos) break;
    }
  }
  return topics;
}

// Returns the arms of a shell's `case` that offer the values of enum and bool fields:
// "runtime.device) ...".
std::string ValueArms(const std::vector<ValueField>& fields, const std::string& before,
                      const std::string& after) {
  std::string arms;
  for (const ValueField& field : fields) {
    if (field.values.empty()) continue;
    absl::StrAppend(&arms, "    ", Quoted(field.path), ") ", before,
                    absl::StrJoin(field.values, " "), after, " ;;\n");
  }
  return arms;
}

// Returns the call of a bash function that offers the flag's values.
std::string BashValues(const Flag& flag) {
  if (!flag.choices.empty() && flag.kind == Flag::Kind::kFile) {
    return absl::StrCat("_finetune_offer -f -W ", Quoted(absl::StrJoin(flag.choices, " ")));
  }
  switch (flag.kind) {
    case Flag::Kind::kFile:
    case Flag::Kind::kConfig:
      return "_finetune_offer -f";
    case Flag::Kind::kFolder:
      return "_finetune_offer -d";
    case Flag::Kind::kField:
      return "_finetune_field";
    case Flag::Kind::kTopic:
      return "_finetune_topic";
    default:
      return flag.choices.empty()
                 ? ":"
                 : absl::StrCat("_finetune_offer -W ", Quoted(absl::StrJoin(flag.choices, " ")));
  }
}

// Returns the action of zsh's _arguments that offers the flag's values.
std::string ZshAction(const Flag& flag) {
  if (!flag.choices.empty() && flag.kind == Flag::Kind::kText) {
    return absl::StrCat("(", absl::StrJoin(flag.choices, " "), ")");
  }
  switch (flag.kind) {
    case Flag::Kind::kFile:
    case Flag::Kind::kConfig:
      return "_files";
    case Flag::Kind::kFolder:
      return "_files -/";
    case Flag::Kind::kField:
      return "_finetune_fields";
    case Flag::Kind::kTopic:
      return "_finetune_topics";
    default:
      return " ";
  }
}

// Returns the specification of a flag for zsh's _arguments: "*--set=[Set a
// field]:PATH=VALUE:_finetune_fields".
std::string ZshFlag(const Flag& flag) {
  // A colon ends a part of the specification, and a bracket ends the description.
  const auto escaped = [](const std::string& text) {
    return absl::StrReplaceAll(text, {{":", "\\:"}, {"[", "\\["}, {"]", "\\]"}});
  };
  if (flag.IsPositional()) {
    return absl::StrCat(flag.required ? ":" : "::", flag.name, ":", ZshAction(flag));
  }
  std::string text = absl::StrCat(flag.repeatable ? "*" : "", flag.name);
  if (flag.kind == Flag::Kind::kSwitch) return absl::StrCat(text, "[", escaped(flag.help), "]");
  return absl::StrCat(text, "=[", escaped(flag.help), "]:", escaped(flag.value), ":",
                      ZshAction(flag));
}

}  // namespace

std::string BashCompletion(const CommandList& commands, const std::vector<ValueField>& fields) {
  std::string flag_arms, value_arms;
  for (const auto& command : commands) {
    std::vector<std::string> names = {"--help"};
    std::string positional = ":";
    for (const Flag& flag : FlagsOf(*command)) {
      if (flag.IsPositional()) {
        positional = BashValues(flag);
        continue;
      }
      const bool has_value = flag.kind != Flag::Kind::kSwitch;
      names.push_back(absl::StrCat(flag.name, has_value ? "=" : ""));
      if (has_value) {
        absl::StrAppend(&value_arms, "    ", command->name(), ":", flag.name, "=*) ",
                        BashValues(flag), " ;;\n");
      }
    }
    absl::StrAppend(&value_arms, "    ", command->name(), ":--help=*) _finetune_topic ;;\n");
    absl::StrAppend(&value_arms, "    ", command->name(), ":--*=*) ;;\n");
    absl::StrAppend(&value_arms, "    ", command->name(), ":-*) _finetune_offer -W ",
                    Quoted(absl::StrJoin(names, " ")), " ;;\n");
    absl::StrAppend(&flag_arms, "    ", command->name(), ":*) ", positional, " ;;\n");
  }
  std::vector<std::string> paths;
  paths.reserve(fields.size());
  for (const ValueField& field : fields) paths.push_back(field.path + "=");
  return absl::StrCat(
      R"(# bash completion for finetune:  source <(finetune completion bash)

# Offers what `compgen "$@"` has for the part of the word that is not complete. Bash breaks words at
# "=", and wants what comes behind the last one.
_finetune_offer() {
  local prefix=
  [[ $_finetune_word != -*=* ]] || prefix=${_finetune_word%"$_finetune_part"}
  mapfile -t COMPREPLY < <(compgen "$@" -- "$_finetune_part")
  [[ $COMP_WORDBREAKS == *=* ]] || COMPREPLY=("${COMPREPLY[@]/#/$prefix}")
  [[ $1 == -W ]] || compopt -o filenames 2> /dev/null
  # More comes behind a "=".
  [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2> /dev/null
}

# Offers a field of the config, and behind its "=" the values that it has.
_finetune_field() {
  local field=${_finetune_part%%=*}
  if [[ $_finetune_part != *=* ]]; then
    _finetune_offer -W ')",
      absl::StrJoin(paths, " "), R"('
    return
  fi
  _finetune_part=${_finetune_part#*=}
  case $field in
)",
      ValueArms(fields, "_finetune_offer -W '", "'"), R"(  esac
}

# Offers what the help explains: commands and fields.
_finetune_topic() {
  _finetune_offer -W ')",
      absl::StrJoin(TopicsOf(commands, fields), " "), R"('
}

_finetune() {
  local line=${COMP_LINE:0:COMP_POINT}
  local _finetune_word=${line##*[[:space:]]} command=)",
      commands.front()->name(), R"(
  local _finetune_part=$_finetune_word words
  read -ra words <<< "$line"
  COMPREPLY=()
  case ${words[1]} in
    )",
      absl::StrJoin(NamesOf(commands), "|"), R"()
      if [[ ${#words[@]} -gt 2 || -z $_finetune_word ]]; then
        command=${words[1]}
      fi ;;
  esac
  [[ $_finetune_word != -*=* ]] || _finetune_part=${_finetune_word#*=}
  case $command:$_finetune_word in
)",
      value_arms, R"(  esac
  [[ $_finetune_word != -* ]] || return 0
  if [[ ${#words[@]} -lt 2 || ( ${#words[@]} -eq 2 && -n $_finetune_word ) ]]; then
    _finetune_offer -W ')",
      absl::StrJoin(NamesOf(commands), " "), R"('
    return 0
  fi
  case $command:$_finetune_word in
)",
      flag_arms, R"(  esac
}

complete -F _finetune finetune
)");
}

std::string ZshCompletion(const CommandList& commands, const std::vector<ValueField>& fields) {
  std::string names, arms;
  for (const auto& command : commands) {
    absl::StrAppend(&names, "    ", Quoted(absl::StrCat(command->name(), ":", command->summary())),
                    "\n");
    absl::StrAppend(&arms, "    ", command->name(), ")\n      _arguments \\\n");
    for (const Flag& flag : FlagsOf(*command)) {
      absl::StrAppend(&arms, "        ", Quoted(ZshFlag(flag)), " \\\n");
    }
    absl::StrAppend(&arms, "        '--help[Explain the command]' ;;\n");
  }
  std::vector<std::string> paths;
  paths.reserve(fields.size());
  for (const ValueField& field : fields) paths.push_back(Quoted(field.path));
  std::vector<std::string> topics;
  for (const std::string& topic : TopicsOf(commands, fields)) topics.push_back(Quoted(topic));
  return absl::StrCat(R"(#compdef finetune
# zsh completion for finetune:  finetune completion zsh > "${fpath[1]}/_finetune"

# A field of the config, and behind its "=" the values that it has.
_finetune_fields() {
  local field=${PREFIX%%=*}
  if [[ $PREFIX != *=* ]]; then
    compadd -S = -- )",
                      absl::StrJoin(paths, " "), R"(
    return
  fi
  compset -P '*='
  case $field in
)",
                      ValueArms(fields, "compadd -- ", ""), R"(  esac
}

# What the help explains: commands and fields.
_finetune_topics() {
  compadd -- )",
                      absl::StrJoin(topics, " "), R"(
}

_finetune() {
  local -a commands=(
)",
                      names, R"(  )
  local command=)",
                      commands.front()->name(), R"(
  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
    _describe command commands
    return
  fi
  if [[ $words[2] != -* ]]; then
    command=$words[2]
    shift words
    (( CURRENT-- ))
  fi
  case $command in
)",
                      arms, R"(  esac
}

compdef _finetune finetune
)");
}

}  // namespace finetune
