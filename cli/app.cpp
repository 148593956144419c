// The face of CLI11: declares options, parses the line, and words its errors.
#include "app.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <charconv>

#include "attend/base/error.h"
#include "attend/base/nearest.h"
#include "output.h"
#include "program.h"

namespace attend::cli {
namespace {

/// What a verb does, kept beside its CLI::App.
struct Act {
  bool json = false;
  std::function<int(Output&)> run;
};

/// A CLI::App that carries its act.
class VerbApp : public CLI::App {
 public:
  VerbApp(const std::string& help, const std::string& name, CLI::App* parent)
      : CLI::App(help, name, parent) {}
  Act act;
};

CLI::App* deepest(CLI::App& app) {
  CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  return at;
}

std::string help_command(const CLI::App& app) {
  const std::string full = full_name(app);
  const auto space = full.find(' ');
  return space == std::string::npos ? "attend help" : "attend help" + full.substr(space);
}

[[noreturn]] void fail_unknown_word(CLI::App& at, const std::string& word) {
  if (word.size() > 1 && word[0] == '-') {
    const std::string name = word.substr(0, word.find('='));
    fail_usage("'" + full_name(at) + "' has no option '" + name + "'" +
               did_you_mean(name, long_options(at)) + " ('" + help_command(at) +
               "' lists them; '--' goes before a text that begins with '-')");
  }
  if (!verbs_of(at).empty())
    fail_usage("'" + full_name(at) + "' has no verb '" + word + "'" +
               did_you_mean(word, verb_names(at)) + " ('" + help_command(at) + "' lists them)");
  fail_usage("'" + full_name(at) + "' takes no further argument '" + word +
             "' (quote a text of several words)");
}

/// The first word that no option took, with the app that met it.
void refuse_leftovers(CLI::App& app) {
  for (CLI::App* at = &app;; at = at->get_subcommands().front()) {
    for (const std::string& word : at->remaining()) {
      if (word == "--") continue;  // CLI11 keeps the mark itself
      CLI::App* inner = deepest(*at);
      const auto known = long_options(*inner);
      const std::string name = word.substr(0, word.find('='));
      if (inner != at && std::find(known.begin(), known.end(), name) != known.end())
        fail_usage("put option '" + name + "' after the verb: '" + full_name(*inner) + " … " +
                   word + "'");
      fail_unknown_word(*at, word);
    }
    if (at->get_subcommands().empty()) return;
  }
}

[[noreturn]] void fail_parse(CLI::App& app, const CLI::ParseError& error) {
  refuse_leftovers(app);
  CLI::App& at = *deepest(app);
  if (!verbs_of(at).empty()) {
    std::string list;
    for (const std::string& name : verb_names(at)) list += (list.empty() ? "" : ", ") + name;
    fail_usage("'" + full_name(at) + "' needs a VERB: " + list);
  }
  for (const CLI::Option* option : at.get_options())
    if (option->get_required() && option->count() == 0)
      fail_usage("'" + full_name(at) + "' needs " + option->get_name() + ": " +
                 option->get_description() + " ('" + help_command(at) + "' shows how)");
  fail_usage("'" + full_name(at) + "': " + error.what());
}

std::string metavar(Kind kind) {
  switch (kind) {
    case Kind::kFile:
      return "FILE";
    case Kind::kFolder:
      return "DIR";
    case Kind::kRecipe:
      return "RECIPE";
    case Kind::kRun:
      return "RUN";
    case Kind::kRecipeOrRun:
      return "RECIPE|RUN";
    case Kind::kData:
      return "NAME|PATH";
    case Kind::kNumber:
      return "N";
    case Kind::kKeyValue:
      return "KEY=VALUE";
    case Kind::kText:
    case Kind::kChoice:
      break;
  }
  return "TEXT";
}

std::string shown_name(const std::string& names) { return names.substr(names.rfind(',') + 1); }

CLI::Option* add(CLI::App& app, const std::string& names, const std::string& type,
                 const std::string& help, const std::function<void(const std::string&)>& take) {
  CLI::Option* option = app.add_option_function<std::string>(names, take, help);
  option->type_name(type);
  return option;
}

}  // namespace

std::vector<const CLI::App*> verbs_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::vector<std::string> verb_names(const CLI::App& app) {
  std::vector<std::string> names;
  const auto verbs = verbs_of(app);
  names.reserve(verbs.size());
  for (const CLI::App* verb : verbs) names.push_back(verb->get_name());
  return names;
}

std::vector<std::string> long_options(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

std::string full_name(const CLI::App& app) {
  return app.get_parent() == nullptr ? app.get_name()
                                     : full_name(*app.get_parent()) + " " + app.get_name();
}

Verb Verb::group(const std::string& name, const std::string& help) const {
  auto child = std::make_shared<VerbApp>(help, name, app_);
  app_->add_subcommand(child);
  app_->require_subcommand(1);
  return Verb(*child);
}

Verb Verb::verb(const std::string& name, const std::string& help) const {
  const Verb made = group(name, help);
  made.flag("--json", static_cast<VerbApp*>(made.app_)->act.json,
            "print one JSON document on stdout and nothing else there");
  return made;
}

const Verb& Verb::flag(const std::string& names, bool& value, const std::string& help) const {
  app_->add_flag(names, value, help);
  return *this;
}

const Verb& Verb::text(const std::string& names, Kind kind, std::string& value,
                       const std::string& help) const {
  add(*app_, names, metavar(kind), help,
      [&value, shown = shown_name(names)](const std::string& given) {
        if (given.empty()) fail_usage(shown + ": the value is empty; leave the option out instead");
        value = given;
      });
  return *this;
}

const Verb& Verb::texts(const std::string& names, Kind kind, std::vector<std::string>& values,
                        const std::string& help) const {
  app_->add_option(names, values, help)->type_name(metavar(kind))->allow_extra_args(false);
  return *this;
}

const Verb& Verb::number(const std::string& names, std::optional<std::uint64_t>& value,
                         std::uint64_t least, std::uint64_t most, const std::string& help) const {
  const auto take = [&value, least, most, shown = shown_name(names)](const std::string& given) {
    std::uint64_t n = 0;
    const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), n);
    if (error != std::errc() || end != given.data() + given.size() || n < least || n > most)
      fail_usage(shown + ": expected a whole number from " + std::to_string(least) + " to " +
                 std::to_string(most) + ", got '" + given + "'");
    value = n;
  };
  add(*app_, names, "N", help, take);
  return *this;
}

const Verb& Verb::choice(const std::string& names, const std::vector<std::string>& choices,
                         std::string& value, const std::string& help) const {
  std::string type;
  for (const std::string& choice : choices) type += (type.empty() ? "" : "|") + choice;
  add(*app_, names, type, help,
      [&value, choices, type, shown = shown_name(names)](const std::string& given) {
        if (std::find(choices.begin(), choices.end(), given) == choices.end())
          fail_usage(shown + ": expected " + type + ", got '" + given + "'" +
                     did_you_mean(given, choices));
        value = given;
      });
  return *this;
}

const Verb& Verb::positional(const std::string& name, Kind kind, std::string& value, Need need,
                             const std::string& help) const {
  app_->add_option(name, value, help)->type_name(metavar(kind))->required(need == Need::kRequired);
  return *this;
}

const Verb& Verb::given(const std::string& name, std::optional<std::string>& value,
                        const std::string& help) const {
  add(*app_, name, metavar(Kind::kText), help, [&value](const std::string& text) { value = text; });
  return *this;
}

const Verb& Verb::chosen(const std::string& name, const std::vector<std::string>& choices,
                         std::string& value, Need need, const std::string& help) const {
  choice(name, choices, value, help);
  app_->get_option(name)->required(need == Need::kRequired);
  return *this;
}

const Verb& Verb::positionals(const std::string& name, Kind kind, std::vector<std::string>& values,
                              Need need, const std::string& help) const {
  app_->add_option(name, values, help)->type_name(metavar(kind))->required(need == Need::kRequired);
  return *this;
}

const Verb& Verb::example(const std::string& line) const {
  const std::string before = app_->get_footer();
  app_->footer(before.empty() ? line : before + "\n" + line);
  return *this;
}

void Verb::run(std::function<int(Output&)> act) const {
  static_cast<VerbApp*>(app_)->act.run = std::move(act);
}

Program::Program()
    : app_(std::make_unique<VerbApp>("attention in C++: train, predict, explain", "attend",
                                     nullptr)) {
  app_->set_help_flag("-h,--help", "show this help");
  app_->set_version_flag("--version", "attend " ATTEND_VERSION, "show the version");
  app_->allow_extras();  // inherited; leftovers are refused here, with the nearest name
  app_->require_subcommand(1);
}

Program::~Program() = default;

Verb Program::verb(const std::string& name, const std::string& help) {
  return Verb(*app_).verb(name, help);
}

Verb Program::group(const std::string& name, const std::string& help) {
  return Verb(*app_).group(name, help);
}

int Program::run(int argc, char** argv) {
  if (argc < 2) fail_usage("no verb given; 'attend help' lists them");
  try {
    app_->parse(argc, argv);
    refuse_leftovers(*app_);
  } catch (const CLI::CallForHelp&) {
    Output out(false);
    out.raw(help_text(*deepest(*app_)));
    out.flush();
    return 0;
  } catch (const CLI::CallForVersion& version) {
    Output out(false);
    out.line(version.what());
    out.flush();
    return 0;
  } catch (const CLI::ParseError& error) {
    fail_parse(*app_, error);
  }
  const Act& act = static_cast<VerbApp*>(deepest(*app_))->act;
  Output out(act.json);
  const int status = act.run(out);
  out.flush();
  return status;
}

}  // namespace attend::cli
