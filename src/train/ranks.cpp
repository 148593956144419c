// The one file that knows c10d. See gloo_declared/ for what PyTorch's packages lack.
#include "attend/train/ranks.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <arpa/inet.h>
#include <c10/util/Logging.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

namespace attend::train {
namespace {

using std::chrono::milliseconds;

/// As long as it takes; a rank that dies ends the wait all the same.
constexpr milliseconds kForever = std::chrono::hours(24 * 365);
constexpr milliseconds kSlice = std::chrono::seconds(1);

std::string first_line(const char* text) {
  const std::string all = text;
  return all.substr(0, all.find('\n'));
}

/// Of "[file:line] Read error [host]:port: Connection reset by peer. This is typically caused by …" what a user can use.
std::string reason(const char* text) {
  std::string words = first_line(text);
  if (words.starts_with('[')) words.erase(0, words.find(']') + 1);
  words.erase(0, words.find_first_not_of(' '));
  return words.substr(0, words.find(". "));
}

std::string in_seconds(milliseconds time) {
  const double seconds = static_cast<double>(time.count()) / 1000;
  return (seconds < 1 ? std::to_string(seconds) : std::to_string(std::lround(seconds))) + " s";
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

/// A socket that listens on the loopback interface alone (a store on its own listens on every one). Port 0: any that is free.
int listen_on_loopback(int port, int& given) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail_io(std::string("cannot open a socket: ") + std::strerror(errno));
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (::bind(fd, any, size) != 0 || ::listen(fd, SOMAXCONN) != 0 ||
      ::getsockname(fd, any, &size) != 0) {
    const int error = errno;
    ::close(fd);
    throw Error(ErrorKind::kFailure, "ranks cannot meet at port " + std::to_string(port) + ": " +
                                         std::strerror(error) + "; set another MASTER_PORT");
  }
  given = ntohs(address.sin_port);
  return fd;
}

c10::intrusive_ptr<c10d::TCPStore> open_store(const RankVariables& v, milliseconds patience) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(v.port);
  options.isServer = v.rank == 0 && !v.store_there;
  options.waitWorkers = false;
  options.timeout = patience;
  if (options.isServer && is_loopback(v.host)) {
    int given = 0;
    options.masterListenFd = listen_on_loopback(v.port, given);
  }
  return c10::make_intrusive<c10d::TCPStore>(v.host, options);
}

/// c10d logs every try to connect that fails, with its stack, where a message of ours says it in one line.
class QuietLog {
 public:
  QuietLog() : before_(FLAGS_caffe2_log_level) { FLAGS_caffe2_log_level = kOnlyFatal; }
  ~QuietLog() { FLAGS_caffe2_log_level = before_; }
  QuietLog(const QuietLog&) = delete;
  QuietLog& operator=(const QuietLog&) = delete;

 private:
  static constexpr int kOnlyFatal = 3;
  int before_;
};

/// Waits until every rank has written its name into the store.
void wait_for_all(c10d::Store& store, const RankVariables& v, milliseconds patience) {
  const auto name = [](int rank) { return "here/" + std::to_string(rank); };
  store.set(name(v.rank), std::vector<std::uint8_t>{1});
  std::vector<std::string> names;
  names.reserve(static_cast<std::size_t>(v.size));
  for (int r = 0; r < v.size; ++r) names.push_back(name(r));
  try {
    store.wait(names, patience);
  } catch (const std::exception&) {
    std::string missing;
    for (int r = 0; r < v.size; ++r)
      if (!store.check({name(r)})) missing += (missing.empty() ? "" : ", ") + std::to_string(r);
    throw Error(ErrorKind::kFailure, "of " + std::to_string(v.size) + " ranks " +
                                         (missing.empty() ? "not all" : "rank " + missing) +
                                         " did not come within " + in_seconds(patience));
  }
}

std::shared_ptr<gloo::transport::Device> make_device(const std::string& host) {
  using c10d::ProcessGroupGloo;
  if (is_loopback(host)) return ProcessGroupGloo::createDeviceForHostname("127.0.0.1");
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  return interface != nullptr ? ProcessGroupGloo::createDeviceForInterface(interface)
                              : ProcessGroupGloo::createDefaultDevice();
}

}  // namespace

struct Ranks::Group {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
  milliseconds patience;
  bool broken = false;

  ~Group() {
    if (broken) gloo.release();  // its threads may still wait for a rank that no longer answers
  }

  /// Until `work` is done. Counts slices, so that a process that was stopped (Ctrl-Z) doesn't blame the others.
  void finish(c10d::Work& work, milliseconds limit) {
    const milliseconds slice = std::min(kSlice, limit);
    for (milliseconds waited = slice;; waited += slice) {
      try {
        work.wait(slice);
        return;
      } catch (const std::exception& error) {
        if (work.isCompleted() && work.isSuccess()) return;
        if (!work.isCompleted() && waited < limit) continue;
        broken = true;
        throw LostRank(work.isCompleted() ? reason(error.what())
                                          : "no answer within " + in_seconds(limit));
      }
    }
  }

  void sum(std::vector<at::Tensor>& tensors, milliseconds limit) {
    c10d::AllreduceOptions options;
    options.timeout = kForever;
    std::vector<c10::intrusive_ptr<c10d::Work>> works;
    try {
      for (at::Tensor& tensor : tensors) {
        std::vector<at::Tensor> one{tensor};
        works.push_back(gloo->allreduce(one, options));
      }
    } catch (const c10::Error& error) {
      broken = true;
      throw LostRank(reason(error.what_without_backtrace()));
    }
    for (const auto& work : works) finish(*work, limit);
  }

  void send_from_first(at::Tensor tensor) {
    c10d::BroadcastOptions options;
    options.timeout = kForever;
    std::vector<at::Tensor> one{std::move(tensor)};
    finish(*gloo->broadcast(one, options), kForever);
  }
};

Ranks::Ranks(RankVariables variables, std::unique_ptr<Group> group)
    : variables_(std::move(variables)), group_(std::move(group)) {}
Ranks::~Ranks() = default;

std::unique_ptr<Ranks> Ranks::join(const RankVariables& v, const RankPatience& patience) {
  const QuietLog quiet;
  auto group = std::make_unique<Group>();
  group->patience = patience.step;
  try {
    group->store =
        c10::make_intrusive<c10d::PrefixStore>("attend/" + v.attempt, open_store(v, patience.join));
    wait_for_all(*group->store, v, patience.join);
    auto options = c10d::ProcessGroupGloo::Options::create(patience.join);
    options->devices.push_back(make_device(v.host));
    group->gloo =
        c10::make_intrusive<c10d::ProcessGroupGloo>(group->store, v.rank, v.size, options);
  } catch (const c10::Error& error) {
    throw Error(ErrorKind::kFailure, "rank " + std::to_string(v.rank) + " of " +
                                         std::to_string(v.size) + " cannot meet the others at " +
                                         v.host + ":" + std::to_string(v.port) + ": " +
                                         first_line(error.what_without_backtrace()));
  }
  return std::unique_ptr<Ranks>(new Ranks(v, std::move(group)));
}

void Ranks::sum(std::vector<at::Tensor> tensors) { group_->sum(tensors, group_->patience); }

std::string Ranks::text_of_first(const std::string& text) {
  at::Tensor size = at::empty({1}, at::kLong);
  size.fill_(static_cast<std::int64_t>(text.size()));
  group_->send_from_first(size);
  at::Tensor bytes = at::empty({size.item<std::int64_t>()}, at::kByte);
  if (bytes.numel() == 0) return "";
  auto* data = bytes.mutable_data_ptr<std::uint8_t>();
  if (first()) std::copy(text.begin(), text.end(), data);
  group_->send_from_first(bytes);
  return {reinterpret_cast<const char*>(data), static_cast<std::size_t>(bytes.numel())};
}

void Ranks::together(const std::function<void()>& act) {
  std::exception_ptr mine;
  at::Tensor kinds = at::zeros({size()}, at::kDouble);
  double* kind = kinds.mutable_data_ptr<double>();
  try {
    act();
  } catch (const Error& error) {
    mine = std::current_exception();
    kind[rank()] = static_cast<double>(error.kind());
  }
  std::vector<at::Tensor> all{kinds};
  group_->sum(all, kForever);
  for (int r = 0; r < size(); ++r) {
    if (kind[r] == 0) continue;
    if (r == rank()) std::rethrow_exception(mine);
    throw FailedElsewhere(static_cast<ErrorKind>(static_cast<int>(kind[r])), r);
  }
}

struct RankStore::Server {
  int port = 0;
  c10::intrusive_ptr<c10d::TCPStore> store;
};

RankStore::RankStore() : server_(std::make_unique<Server>()) {
  c10d::TCPStoreOptions options;
  options.isServer = true;
  options.waitWorkers = false;
  options.masterListenFd = listen_on_loopback(0, server_->port);
  options.port = static_cast<std::uint16_t>(server_->port);
  server_->store = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
}

RankStore::~RankStore() = default;

int RankStore::port() const { return server_->port; }

}  // namespace attend::train
