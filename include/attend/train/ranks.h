#pragma once
#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "attend/base/error.h"

namespace attend::train {

/// What torchrun or `attend launch` tells a process: its place among those that train one model together.
struct RankVariables {
  int rank = 0, size = 1;  // RANK, WORLD_SIZE
  int local_size = 1;      // LOCAL_WORLD_SIZE: ranks on this machine, which share its cores
  std::string host;        // MASTER_ADDR
  int port = 0;            // MASTER_PORT
  bool store_there =
      false;            // TORCHELASTIC_USE_AGENT_STORE: the launcher keeps the store, not rank 0
  std::string attempt;  // TORCHELASTIC_RESTART_COUNT
};

/// Of the environment; one rank of one where WORLD_SIZE is not set or 1. Throws kUsage with the name of the variable that is
/// missing or makes no sense.
RankVariables rank_variables();

/// How long to wait for other ranks.
struct RankPatience {
  std::chrono::milliseconds join = std::chrono::minutes(5);   // until all are there
  std::chrono::milliseconds step = std::chrono::seconds(25);  // for one that no longer answers
};

/// Another rank died or no longer answers; nothing can be summed any more.
class LostRank : public Error {
 public:
  explicit LostRank(const std::string& why) : Error(ErrorKind::kFailure, why) {}
};

/// Another rank failed, and tells of it; this one ends with the same kind and need not.
class FailedElsewhere : public Error {
 public:
  FailedElsewhere(ErrorKind kind, int rank)
      : Error(kind, "rank " + std::to_string(rank) + " failed") {}
};

/// The processes that train one model together, over libtorch's c10d with Gloo. Every rank calls the same functions in the same
/// order, from one thread. A rank that dies is noticed at once (its connection closes), one that no longer answers after
/// RankPatience::step; time for which this process itself was stopped does not count.
class Ranks {
 public:
  /// Waits for all ranks. Throws kFailure with what was missing: a store that can't be reached, ranks that never came, a port
  /// that is taken, a libtorch that was built without it.
  static std::unique_ptr<Ranks> join(const RankVariables& variables,
                                     const RankPatience& patience = {});
  ~Ranks();
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  int rank() const { return variables_.rank; }
  int size() const { return variables_.size; }
  int local_size() const { return variables_.local_size; }
  bool first() const { return rank() == 0; }

  /// Every tensor (contiguous, of the same shape on every rank) becomes its sum over ranks: the same bits on all. Throws LostRank.
  void sum(std::vector<at::Tensor> tensors);
  /// The text of rank 0, on every rank; waits for as long as it takes. Throws LostRank.
  std::string text_of_first(const std::string& text);
  /// Runs `act` on every rank and returns when all have. Where it throws an Error on some, all throw: the lowest of them its own,
  /// the others FailedElsewhere.
  void together(const std::function<void()>& act);

 private:
  struct Group;
  Ranks(RankVariables variables, std::unique_ptr<Group> group);
  RankVariables variables_;
  std::unique_ptr<Group> group_;
};

/// Where ranks on this machine meet: a store on a free port of the loopback interface, open as long as the object lives.
class RankStore {
 public:
  RankStore();  ///< throws kFailure, kIo
  ~RankStore();
  RankStore(const RankStore&) = delete;
  RankStore& operator=(const RankStore&) = delete;
  int port() const;

 private:
  struct Server;
  std::unique_ptr<Server> server_;
};

/// "attend train --resume RUN", or with `attend launch` in front for several ranks.
std::string resume_command(const std::string& run, int ranks);

}  // namespace attend::train
