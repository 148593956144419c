// In place of ranks.cpp where libtorch was built without c10d or Gloo.
#include "attend/train/ranks.h"

namespace attend::train {
namespace {

[[noreturn]] void fail_absent() {
  throw Error(ErrorKind::kFailure,
              "this program was built with a libtorch without c10d and Gloo: it trains with one "
              "process");
}

}  // namespace

struct Ranks::Group {};
Ranks::Ranks(RankVariables variables, std::unique_ptr<Group> group)
    : variables_(std::move(variables)), group_(std::move(group)) {}
Ranks::~Ranks() = default;
std::unique_ptr<Ranks> Ranks::join(const RankVariables&, const RankPatience&) { fail_absent(); }
void Ranks::sum(std::vector<at::Tensor>) { fail_absent(); }
std::string Ranks::text_of_first(const std::string&) { fail_absent(); }
void Ranks::together(const std::function<void()>&) { fail_absent(); }

struct RankStore::Server {};
RankStore::RankStore() { fail_absent(); }
RankStore::~RankStore() = default;
int RankStore::port() const { fail_absent(); }

}  // namespace attend::train
