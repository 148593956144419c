// attend completion bash|zsh|fish: shell completion, from the table of options. Names of recipes, data sets and keys are
// written into the script, so that a TAB never has to start the program.
#include <CLI/App.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "app.h"
#include "attend/data/catalogue.h"
#include "attend/train/recipe.h"
#include "output.h"
#include "program.h"

namespace attend::cli {
namespace {

/// One verb as the shells need it; path is "data get", without the program's name.
struct Entry {
  std::string path, help;
  std::vector<const CLI::App*> verbs;
  std::vector<OptionText> options, arguments;
};

void collect(const CLI::App& app, std::vector<Entry>& entries) {
  const std::string full = full_name(app);
  const auto space = full.find(' ');
  entries.push_back({space == std::string::npos ? "" : full.substr(space + 1),
                     app.get_description(), verbs_of(app), options_of(app), arguments_of(app)});
  for (const CLI::App* verb : verbs_of(app)) collect(*verb, entries);
}

std::string last_name(const OptionText& option) {
  return option.names.substr(option.names.rfind(' ') + 1);
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
  return text;
}

/// Inside single quotes of the shell.
std::string in_quotes(const std::string& text) { return "'" + replaced(text, "'", "'\\''") + "'"; }
std::string in_fish_quotes(const std::string& text) {
  return "'" + replaced(replaced(text, "\\", "\\\\"), "'", "\\'") + "'";
}

std::string recipe_words() {
  std::string words;
  for (const auto& recipe : train::list_recipes())
    words += (words.empty() ? "" : " ") + recipe.name;
  return words;
}

std::string data_words() {
  std::string words;
  for (const auto& set : data::catalogue()) {
    words += (words.empty() ? "" : " ") + set.name;
    for (const auto& variant : set.variants) words += " " + variant;
  }
  return words;
}

std::string key_words() {
  std::string words;
  std::set<std::string> keys;  // of every task: some share a name
  for (const auto& spec : train::recipe_schema()) keys.insert(spec.key);
  for (const std::string& key : keys) words += (words.empty() ? "" : " ") + key + "=";
  return words;
}

/// Words for a kind of value, and whether files or folders are offered too.
struct Offer {
  std::string words;
  bool files = false, folders = false, no_space = false;
};

Offer offer(const std::string& kind) {
  if (kind == "RECIPE") return {recipe_words(), true, false, false};
  if (kind == "RUN") return {"", false, true, false};
  if (kind == "RECIPE|RUN") return {recipe_words(), false, true, false};
  if (kind == "NAME|PATH") return {data_words(), true, false, false};
  if (kind == "FILE") return {"", true, false, false};
  if (kind == "DIR") return {"", false, true, false};
  if (kind == "KEY=VALUE") return {key_words(), false, false, true};
  if (kind.find('|') != std::string::npos) return {replaced(kind, "|", " "), false, false, false};
  return {};
}

std::string verb_pattern(const std::vector<Entry>& entries) {
  std::string pattern;
  for (const Entry& entry : entries)
    if (!entry.path.empty())
      pattern += (pattern.empty() ? "" : "|") + replaced(entry.path, " ", "\\ ");
  return pattern;
}

/// The lines "case VERB:OPTION" of bash and zsh; `set` writes what to do with an offer.
template <class Set>
std::string value_cases(const std::vector<Entry>& entries, Set set) {
  std::string out;
  for (const Entry& entry : entries)
    for (const OptionText& option : entry.options)
      if (!option.value.empty())
        out += "    " + in_quotes(entry.path + ":" + last_name(option)) + ") " +
               set(offer(option.value)) + " ;;\n";
  return out;
}

/// What may stand at a place where no option's value is expected.
template <class Set>
std::string place_cases(const std::vector<Entry>& entries, Set set) {
  std::string out;
  for (const Entry& entry : entries) {
    Offer all;
    for (const CLI::App* verb : entry.verbs)
      all.words += (all.words.empty() ? "" : " ") + verb->get_name();
    for (const OptionText& argument : entry.arguments) {
      const Offer one = offer(argument.value);
      all.words += (all.words.empty() ? "" : " ") + one.words;
      all.files = all.files || one.files;
      all.folders = all.folders || one.folders;
    }
    std::string options;
    for (const OptionText& option : entry.options)
      options += (options.empty() ? "" : " ") + last_name(option);
    out += "    " + in_quotes(entry.path) + ") options=" + in_quotes(options) + "; " + set(all) +
           " ;;\n";
  }
  return out;
}

std::string set_variables(const Offer& o) {
  const char* more = o.files ? "files" : o.folders ? "folders" : "none";
  return "words=" + in_quotes(o.words) + "; more=" + more + (o.no_space ? "; space=no" : "");
}

std::string bash_script(const std::vector<Entry>& entries) {
  std::string out = R"(# bash completion for attend. Load it with: source <(attend completion bash)
_attend() {
  local cur prev verb= i options= words= more=none space=yes value=no
  # Names may hold ':' and keys '=': take the whole word, not the part after the break.
  local line=${COMP_LINE:0:COMP_POINT}
  local -a typed
  read -ra typed <<< "$line"
  [[ $line == *[[:space:]] ]] && typed+=('')
  cur=${typed[-1]} prev=
  (( ${#typed[@]} > 1 )) && prev=${typed[-2]}
  COMPREPLY=()
  for ((i = 1; i < ${#typed[@]} - 1; i++)); do
    case "${verb:+$verb }${typed[i]}" in
      @VERBS@) verb="${verb:+$verb }${typed[i]}" ;;
    esac
  done
  case "$verb" in
@PLACES@  esac
  case "$verb:$prev" in
@VALUES@    *) value=no ;;
  esac
  if [[ $value == no && $cur == -* ]]; then words=$options more=none; fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  case $more in
    files) COMPREPLY+=($(compgen -f -- "$cur")); compopt -o filenames 2>/dev/null ;;
    folders) COMPREPLY+=($(compgen -d -- "$cur")); compopt -o filenames 2>/dev/null ;;
  esac
  [[ $space == no ]] && compopt -o nospace 2>/dev/null
  # Bash replaces only what follows the last break character.
  local break before=$cur
  for break in : =; do
    [[ $COMP_WORDBREAKS == *$break* && $cur == *$break* ]] || continue
    before=${cur%"${cur##*$break}"}
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
  done
}
complete -F _attend attend
)";
  out = replaced(out, "@VERBS@", verb_pattern(entries));
  out = replaced(out, "@PLACES@", place_cases(entries, set_variables));
  return replaced(out, "@VALUES@", value_cases(entries, [](const Offer& o) {
                    return "value=yes; " + set_variables(o);
                  }));
}

std::string zsh_script(const std::vector<Entry>& entries) {
  std::string out = R"(#compdef attend
# zsh completion for attend. Load it with: source <(attend completion zsh)
_attend() {
  local verb= options= names= more=none space=yes value=no
  local i
  for ((i = 2; i < CURRENT; i++)); do
    case "${verb:+$verb }${words[i]}" in
      (@VERBS@) verb="${verb:+$verb }${words[i]}" ;;
    esac
  done
  case "$verb" in
@PLACES@  esac
  case "$verb:${words[CURRENT-1]}" in
@VALUES@  esac
  if [[ $value == no && ${words[CURRENT]} == -* ]]; then names=$options more=none; fi
  local -a list
  list=(${=names})
  if [[ $space == no ]]; then compadd -S '' -a list; else compadd -a list; fi
  case $more in
    (files) _files ;;
    (folders) _files -/ ;;
  esac
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then _attend "$@"
elif (( $+functions[compdef] )); then compdef _attend attend
fi
)";
  const auto set = [](const Offer& o) { return replaced(set_variables(o), "words=", "names="); };
  out = replaced(out, "@VERBS@", verb_pattern(entries));
  out = replaced(out, "@PLACES@", replaced(place_cases(entries, set), "    '", "    ('"));
  return replaced(
      out, "@VALUES@",
      replaced(value_cases(entries, [&](const Offer& o) { return "value=yes; " + set(o); }),
               "    '", "    ('"));
}

std::string fish_condition(const Entry& entry) {
  return "__attend_at " + (entry.path.empty() ? "''" : in_quotes(entry.path));
}

std::string fish_offer(const Offer& o) {
  std::string out;
  if (!o.files) out += " -f";
  std::string words = in_fish_quotes(o.words);
  if (o.folders)
    words =
        in_fish_quotes("(__fish_complete_directories)" + (o.words.empty() ? "" : " " + o.words));
  return out + (o.words.empty() && !o.folders ? "" : " -a " + words);
}

std::string fish_script(const std::vector<Entry>& entries) {
  std::string paths;
  for (const Entry& entry : entries)
    if (!entry.path.empty()) paths += " " + in_quotes(entry.path);
  std::string out =
      "# fish completion for attend. Load it with: attend completion fish | source\n"
      "function __attend_at\n"
      "  set -l verb ''\n"
      "  for word in (commandline -opc)[2..-1]\n"
      "    set -l longer (string trim \"$verb $word\")\n"
      "    contains -- \"$longer\"" +
      paths +
      "; and set verb $longer\n"
      "  end\n"
      "  test \"$verb\" = \"$argv[1]\"\n"
      "end\n"
      "complete -c attend -f\n";
  for (const Entry& entry : entries) {
    const std::string head = "complete -c attend -n " + in_fish_quotes(fish_condition(entry));
    for (const CLI::App* verb : entry.verbs)
      out += head + " -a " + verb->get_name() + " -d " + in_fish_quotes(verb->get_description()) +
             "\n";
    for (const OptionText& argument : entry.arguments) {
      const Offer o = offer(argument.value);
      if (o.files || o.folders || !o.words.empty())
        out += head + (o.files ? " -F" : "") + fish_offer(o) + "\n";
    }
    for (const OptionText& option : entry.options)
      out += head + " -l " + last_name(option).substr(2) +
             (option.value.empty() ? "" : " -r" + fish_offer(offer(option.value))) + " -d " +
             in_fish_quotes(option.help) + "\n";
  }
  return out;
}

}  // namespace

void add_completion(Program& program) {
  const auto shell = std::make_shared<std::string>();
  const Verb verb = program.verb("completion", "Print shell completion");
  verb.chosen("SHELL", {"bash", "zsh", "fish"}, *shell, Need::kRequired, "bash, zsh or fish");
  verb.example("source <(attend completion bash)").example("attend completion fish | source");
  verb.run([shell, &program](Output& out) {
    std::vector<Entry> entries;
    collect(program.app(), entries);
    const std::string script = *shell == "bash"  ? bash_script(entries)
                               : *shell == "zsh" ? zsh_script(entries)
                                                 : fish_script(entries);
    if (out.json())
      out.document({{"shell", *shell}, {"script", script}});
    else
      out.raw(script);
    return 0;
  });
}

}  // namespace attend::cli
