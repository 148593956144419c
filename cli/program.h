#pragma once
#include <memory>
#include <string>

#include "verb.h"

namespace attend::cli {

/// The whole program: one CLI::App with every verb.
class Program {
 public:
  Program();
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  Verb verb(const std::string& name, const std::string& help);
  Verb group(const std::string& name, const std::string& help);
  const CLI::App& app() const { return *app_; }

  /// Parses the command line and runs the verb; throws attend::Error (kUsage for a line that makes no sense).
  int run(int argc, char** argv);

 private:
  std::unique_ptr<CLI::App> app_;
};

// One file each.
void add_completion(Program& program);
void add_data(Program& program);
void add_doctor(Program& program);
void add_eval(Program& program);
void add_explain(Program& program);
void add_help(Program& program);
void add_import(Program& program);
void add_launch(Program& program);
void add_man(Program& program);
void add_predict(Program& program);
void add_recipes(Program& program);
void add_summary(Program& program);
void add_sweep(Program& program);
void add_train(Program& program);

}  // namespace attend::cli
