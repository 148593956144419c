#include <csignal>

#include "exit.h"
#include "program.h"

int main(int argc, char** argv) {
  using namespace attend::cli;
  // A file over the limit is a failed write with a message, not a death.
  std::signal(SIGXFSZ, SIG_IGN);
  return guarded([&] {
    Program program;
    add_recipes(program);
    add_data(program);
    add_summary(program);
    add_train(program);
    add_sweep(program);
    add_eval(program);
    add_predict(program);
    add_explain(program);
    add_doctor(program);
    add_completion(program);
    add_man(program);
    add_help(program);
    return program.run(argc, argv);
  });
}
