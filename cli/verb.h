#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace attend::cli {

class Output;

/// What a value stands for. It is shown in help and man page, and tells the shell what to complete.
enum class Kind {
  kText,
  kFile,
  kFolder,
  kRecipe,
  kRun,
  kRecipeOrRun,
  kData,
  kNumber,
  kKeyValue,
  kChoice
};

enum class Need { kRequired, kOptional };

/// One verb while its options are declared. A thin face of CLI::App, so that only three files compile CLI11; the app
/// stays the one table of options, from which help, man page and completion are made.
class Verb {
 public:
  explicit Verb(CLI::App& app) : app_(&app) {}

  /// A verb below this one (`data list`), with --json.
  Verb verb(const std::string& name, const std::string& help) const;
  /// A verb that only holds others (`data`).
  Verb group(const std::string& name, const std::string& help) const;

  const Verb& flag(const std::string& names, bool& value, const std::string& help) const;
  const Verb& text(const std::string& names, Kind kind, std::string& value,
                   const std::string& help) const;
  /// May be given several times; each takes one value.
  const Verb& texts(const std::string& names, Kind kind, std::vector<std::string>& values,
                    const std::string& help) const;
  /// A whole number in [least, most]; anything else is a usage error that names the option and the range.
  const Verb& number(const std::string& names, std::optional<std::uint64_t>& value,
                     std::uint64_t least, std::uint64_t most, const std::string& help) const;
  /// One of `choices`; anything else is a usage error that names the nearest.
  const Verb& choice(const std::string& names, const std::vector<std::string>& choices,
                     std::string& value, const std::string& help) const;
  const Verb& positional(const std::string& name, Kind kind, std::string& value, Need need,
                         const std::string& help) const;
  /// A positional of free text; an empty text is given, not absent.
  const Verb& given(const std::string& name, std::optional<std::string>& value,
                    const std::string& help) const;
  /// A positional that is one of `choices`.
  const Verb& chosen(const std::string& name, const std::vector<std::string>& choices,
                     std::string& value, Need need, const std::string& help) const;
  /// All that remains on the line.
  const Verb& positionals(const std::string& name, Kind kind, std::vector<std::string>& values,
                          Need need, const std::string& help) const;
  const Verb& example(const std::string& line) const;  ///< shown by help and man page
  /// What the verb does; the result is the exit status.
  void run(std::function<int(Output&)> act) const;

 private:
  CLI::App* app_;
};

}  // namespace attend::cli
