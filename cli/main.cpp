#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "exit.h"
#include "program.h"

namespace {

/// Ends the process once everything that `run` made is gone. In a release without the destructors of static objects:
/// libtorch takes its thousands of operators out of its registry one by one, a quarter of the time of `attend predict`
/// (an empty program linked with it: 215 ms with them, 160 ms without). Debug builds keep them: leak checks and
/// coverage work at exit.
int leave(int code) {
#ifdef NDEBUG
  std::cout.flush();
  std::cerr.flush();
  std::fflush(nullptr);
  std::_Exit(code);
#else
  return code;
#endif
}

}  // namespace

int main(int argc, char** argv) {
  using namespace attend::cli;
  // A file over the limit is a failed write with a message, not a death.
  std::signal(SIGXFSZ, SIG_IGN);
  return leave(guarded([&] {
    Program program;
    add_recipes(program);
    add_data(program);
    add_summary(program);
    add_train(program);
    add_launch(program);
    add_sweep(program);
    add_eval(program);
    add_predict(program);
    add_explain(program);
    add_import(program);
    add_doctor(program);
    add_completion(program);
    add_man(program);
    add_help(program);
    return program.run(argc, argv);
  }));
}
