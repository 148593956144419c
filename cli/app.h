#pragma once
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

/// What help, man page and shell completion read off the CLI::App.
namespace attend::cli {

/// One option or argument as it is written down.
struct OptionText {
  std::string names;  // "-o, --out"; empty for an argument
  std::string value;  // "DIR", "a|b|c"; empty for a flag
  std::string help;
  bool required = false, repeats = false;
};

std::vector<const CLI::App*> verbs_of(const CLI::App& app);
std::vector<std::string> verb_names(const CLI::App& app);
std::vector<std::string> long_options(const CLI::App& app);
std::string full_name(const CLI::App& app);  ///< "attend data get"
std::vector<OptionText> options_of(const CLI::App& app);
std::vector<OptionText> arguments_of(const CLI::App& app);  ///< names holds "RECIPE"
/// "attend train RECIPE [--data NAME|PATH] …"
std::string synopsis(const CLI::App& app);
std::string help_text(const CLI::App& app);

}  // namespace attend::cli
