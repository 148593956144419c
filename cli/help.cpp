// Help as text, from the table of options.
#include <CLI/App.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "app.h"
#include "attend/base/error.h"
#include "attend/base/nearest.h"
#include "output.h"
#include "program.h"

namespace attend::cli {
namespace {

OptionText text_of(const CLI::Option& option) {
  OptionText text;
  for (const std::string& name : option.get_snames())
    text.names += (text.names.empty() ? "-" : ", -") + name;
  for (const std::string& name : option.get_lnames())
    text.names += (text.names.empty() ? "--" : ", --") + name;
  if (option.get_positional()) text.names = option.get_name(true);
  if (option.get_items_expected_max() > 0) text.value = option.get_type_name();
  text.help = option.get_description();
  text.required = option.get_required();
  text.repeats = option.get_items_expected_max() > 1;
  return text;
}

std::string wrapped(const std::string& text, std::size_t indent, std::size_t width) {
  std::string out;
  std::size_t column = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    const auto columns = static_cast<std::size_t>(columns_of(word));
    if (column != 0 && column + 1 + columns > width - indent) {
      out += "\n" + std::string(indent, ' ');
      column = 0;
    }
    out += (column == 0 ? "" : " ") + word;
    column += columns + (column == 0 ? 0 : 1);
    at = end + 1;
  }
  return out;
}

std::string entry(const std::string& left, const std::string& right) {
  constexpr std::size_t kIndent = 28, kWidth = 96;
  std::string out = "  " + left;
  const auto used = static_cast<std::size_t>(columns_of(out));
  out += used + 2 > kIndent ? "\n" + std::string(kIndent, ' ') : std::string(kIndent - used, ' ');
  return out + wrapped(right, kIndent, kWidth) + "\n";
}

const CLI::App* find_verb(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* at = &app;
  for (const std::string& word : words) {
    const auto verbs = verbs_of(*at);
    const auto found = std::find_if(verbs.begin(), verbs.end(),
                                    [&](const CLI::App* v) { return v->get_name() == word; });
    if (found == verbs.end())
      fail_usage("'" + full_name(*at) + "' has no verb '" + word + "'" +
                 did_you_mean(word, verb_names(*at)));
    at = *found;
  }
  return at;
}

nlohmann::json document_of(const std::vector<OptionText>& texts) {
  auto list = nlohmann::json::array();
  for (const OptionText& text : texts)
    list.push_back({{"names", text.names},
                    {"value", text.value},
                    {"help", text.help},
                    {"required", text.required},
                    {"repeats", text.repeats}});
  return list;
}

nlohmann::json document_of(const CLI::App& app) {
  auto verbs = nlohmann::json::array();
  for (const CLI::App* verb : verbs_of(app)) verbs.push_back(document_of(*verb));
  return {{"name", full_name(app)},
          {"synopsis", synopsis(app)},
          {"help", app.get_description()},
          {"arguments", document_of(arguments_of(app))},
          {"options", document_of(options_of(app))},
          {"verbs", verbs}};
}

}  // namespace

std::vector<OptionText> options_of(const CLI::App& app) {
  std::vector<OptionText> texts;
  for (const CLI::Option* option : app.get_options())
    if (!option->get_positional()) texts.push_back(text_of(*option));
  // --help and --json are the same everywhere: last.
  std::stable_partition(texts.begin(), texts.end(), [](const OptionText& t) {
    return t.names != "-h, --help" && t.names != "--json";
  });
  return texts;
}

std::vector<OptionText> arguments_of(const CLI::App& app) {
  std::vector<OptionText> texts;
  for (const CLI::Option* option : app.get_options())
    if (option->get_positional()) texts.push_back(text_of(*option));
  return texts;
}

std::string synopsis(const CLI::App& app) {
  std::string line = full_name(app);
  if (!verbs_of(app).empty()) return line + " VERB …";
  for (const OptionText& argument : arguments_of(app)) {
    const std::string name = argument.names + (argument.repeats ? "…" : "");
    line += argument.required ? " " + name : " [" + name + "]";
  }
  for (const OptionText& option : options_of(app)) {
    const std::string name = option.names.substr(option.names.rfind(' ') + 1);
    if (name != "--help")
      line += " [" + name + (option.value.empty() ? "" : " " + option.value) + "]" +
              (option.repeats ? "…" : "");
  }
  return line;
}

std::string help_text(const CLI::App& app) {
  std::string out =
      "usage: " + wrapped(synopsis(app), 9, 96) + "\n\n" + app.get_description() + "\n";
  if (const auto arguments = arguments_of(app); !arguments.empty()) {
    out += "\narguments:\n";
    for (const OptionText& argument : arguments) out += entry(argument.names, argument.help);
  }
  if (const auto verbs = verbs_of(app); !verbs.empty()) {
    out += "\nverbs:\n";
    for (const CLI::App* verb : verbs) out += entry(verb->get_name(), verb->get_description());
  }
  out += "\noptions:\n";
  for (const OptionText& option : options_of(app))
    out += entry(option.names + (option.value.empty() ? "" : " " + option.value), option.help);
  if (!app.get_footer().empty()) {
    out += "\nexamples:\n";
    std::string rest = app.get_footer() + "\n";
    for (std::size_t at = 0, end; at < rest.size(); at = end + 1) {
      end = rest.find('\n', at);
      out += "  " + rest.substr(at, end - at) + "\n";
    }
  }
  return out;
}

void add_help(Program& program) {
  auto words = std::make_shared<std::vector<std::string>>();
  const Verb verb = program.verb("help", "Show how a verb is used");
  verb.positionals("VERB", Kind::kText, *words, Need::kOptional,
                   "the verb; every verb is listed without one");
  verb.run([words, &program](Output& out) {
    const CLI::App* app = find_verb(program.app(), *words);
    if (out.json())
      out.document(document_of(*app));
    else
      out.raw(help_text(*app));
    return 0;
  });
}

}  // namespace attend::cli
