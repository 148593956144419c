#include <charconv>
#include <cstdlib>
#include <string>

#include "attend/train/ranks.h"

namespace attend::train {
namespace {

std::string rank_variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

int whole_number(const char* name, const std::string& text, int least, int most) {
  int n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (text.empty())
    fail_usage("WORLD_SIZE is set and " + std::string(name) +
               " is not; start ranks with attend launch or torchrun");
  if (error != std::errc() || end != text.data() + text.size() || n < least || n > most)
    fail_usage(std::string(name) + ": expected a whole number from " + std::to_string(least) +
               " to " + std::to_string(most) + ", got '" + text + "'");
  return n;
}

}  // namespace

RankVariables rank_variables() {
  constexpr int kMost = 1024;
  RankVariables v;
  const auto number = [](const char* name, int least, int most) {
    return whole_number(name, rank_variable(name), least, most);
  };
  if (rank_variable("WORLD_SIZE").empty()) return v;
  v.size = number("WORLD_SIZE", 1, kMost);
  if (v.size == 1) return v;
  v.rank = number("RANK", 0, v.size - 1);
  v.port = number("MASTER_PORT", 1, 65535);
  v.host = rank_variable("MASTER_ADDR");
  if (v.host.empty())
    fail_usage(
        "WORLD_SIZE is set and MASTER_ADDR is not; start ranks with attend launch or torchrun");
  v.local_size = v.size;
  if (!rank_variable("LOCAL_WORLD_SIZE").empty())
    v.local_size = number("LOCAL_WORLD_SIZE", 1, v.size);
  v.store_there = rank_variable("TORCHELASTIC_USE_AGENT_STORE") == "True";
  v.attempt = rank_variable("TORCHELASTIC_RESTART_COUNT");
  return v;
}

std::string resume_command(const std::string& run, int ranks) {
  return (ranks > 1 ? "attend launch --nproc " + std::to_string(ranks) + " -- " : "attend ") +
         "train --resume " + run;
}

}  // namespace attend::train
