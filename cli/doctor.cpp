// attend doctor: what this machine offers the program, and what is missing.
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/data/catalogue.h"
#include "attend/interop/hdf5.h"
#include "attend/ops/machine.h"
#include "attend/train/recipe.h"
#include "output.h"
#include "program.h"

namespace attend::cli {
namespace {

using nlohmann::json;

/// One thing looked at; `problem` is empty when all is well, else says what to do.
struct Finding {
  std::string name, value, problem;
  json details;
};

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// The folder itself, or the nearest one above it that exists: what a first write would meet.
std::string existing_parent(std::string path) {
  while (::access(path.c_str(), F_OK) != 0) {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    if (slash == 0) return "/";
    path.erase(slash);
  }
  return path;
}

Finding folder(const std::string& name, const std::string& path) {
  const std::string parent = existing_parent(path);
  const bool writable = ::access(parent.c_str(), W_OK | X_OK) == 0;
  struct statvfs disk {};
  const bool known = ::statvfs(parent.c_str(), &disk) == 0;
  const double left =
      known ? static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize) : 0;
  constexpr double kLow = 200e6;  // a few runs with checkpoints
  std::string problem;
  if (!writable)
    problem = "cannot be written to; set " +
              std::string(name == "cache" ? "ATTEND_CACHE" : "--out") + " to a folder that can";
  else if (known && left < kLow)
    problem = "the disk is nearly full";
  return {
      name,
      path + (parent == path ? "" : " (not made yet)") + ", " + bytes_text(left) + " free",
      problem,
      {{"path", path}, {"exists", parent == path}, {"writable", writable}, {"free_bytes", left}}};
}

void add_machine(std::vector<Finding>& findings) {
  const Machine m = machine();
  findings.push_back({"version", ATTEND_VERSION, "", ATTEND_VERSION});
  findings.push_back({"cpu",
                      m.cpu + ", " + std::to_string(m.cores) + " cores",
                      "",
                      {{"name", m.cpu}, {"cores", m.cores}}});
  findings.push_back({"kernels",
                      m.simd_target + " (this CPU can: " + joined(m.simd_targets) + ")",
                      "",
                      {{"target", m.simd_target}, {"available", m.simd_targets}}});
  findings.push_back(
      {"threads",
       std::to_string(m.threads) + " (libtorch " + std::to_string(m.torch_threads) + ")",
       "",
       {{"kernels", m.threads}, {"libtorch", m.torch_threads}}});
  findings.push_back({"libtorch",
                      m.torch_version + ", " + m.torch_library,
                      "",
                      {{"version", m.torch_version}, {"library", m.torch_library}}});
  const bool hdf5 = interop::reads_hdf5();
  findings.push_back({"hdf5",
                      hdf5 ? "attend import reads it, through attend-hdf5"
                           : "not read: built without libhdf5-dev, or attend-hdf5 is gone",
                      "", hdf5});
}

Finding data_sets() {
  auto sets = json::object();
  std::string here, missing;
  for (const auto& set : data::catalogue()) {
    const std::string place = data::place_of(set).value_or("");
    sets[set.name] = place.empty() ? json() : json(place);
    std::string& list = place.empty() ? missing : here;
    list += (list.empty() ? "" : " ") + set.name;
  }
  return {"data",
          here + (missing.empty() ? "" : " (not here: " + missing + "; 'attend data get NAME')"),
          "",
          {{"ATTEND_DATA", variable("ATTEND_DATA")}, {"sets", sets}}};
}

Finding recipes() {
  const auto list = train::list_recipes();
  std::string problem;
  for (const auto& recipe : list) {
    try {
      train::load_recipe(recipe.name);
    } catch (const Error& error) {
      problem = error.what();
    }
  }
  if (list.empty()) problem = "none are built in; the program was built wrongly";
  return {"recipes", std::to_string(list.size()), problem, {{"count", list.size()}}};
}

Finding terminal(const Output& out) {
  const bool tty = ::isatty(STDOUT_FILENO) == 1;
  return {"terminal",
          std::string(tty ? "yes" : "no") + ", " + std::to_string(out.width()) +
              " columns, colour " + (out.colour() ? "on" : "off"),
          "",
          {{"tty", tty},
           {"columns", out.width()},
           {"colour", out.colour()},
           {"TERM", variable("TERM")},
           {"NO_COLOR", variable("NO_COLOR")},
           {"CLICOLOR_FORCE", variable("CLICOLOR_FORCE")}}};
}

std::vector<Finding> examine(const Output& out) {
  std::vector<Finding> findings;
  add_machine(findings);
  findings.push_back(folder("cache", data::cache_folder()));
  findings.push_back(folder("runs", "./runs"));
  findings.push_back(data_sets());
  findings.push_back(recipes());
  findings.push_back(terminal(out));
  return findings;
}

int doctor(Output& out) {
  const auto findings = examine(out);
  bool well = true;
  for (const Finding& finding : findings) well = well && finding.problem.empty();
  if (out.json()) {
    json document;
    auto problems = json::array();
    for (const Finding& finding : findings) {
      document[finding.name] = finding.details;
      if (!finding.problem.empty()) problems.push_back(finding.name + ": " + finding.problem);
    }
    document["problems"] = problems;
    document["ok"] = well;
    out.document(document);
    return well ? 0 : 1;
  }
  Table table({Align::kLeft, Align::kLeft, Align::kLeft});
  for (const Finding& finding : findings) {
    table.row({finding.problem.empty() ? "ok" : "!!", finding.name, finding.value});
    if (!finding.problem.empty()) table.row({"", "", out.styled(finding.problem, Style::kWarn)});
  }
  out.table(table);
  out.line(well ? "all is well" : "something needs mending: see the lines marked !!");
  return well ? 0 : 1;
}

}  // namespace

void add_doctor(Program& program) {
  const auto threads = std::make_shared<std::optional<std::uint64_t>>();
  const Verb verb = program.verb(
      "doctor", "Say what this machine offers and what is missing; status 1 if something is");
  verb.number("--threads", *threads, 1, 1024, "threads to use (default: all cores)");
  verb.run([threads](Output& out) {
    use_threads(static_cast<int>(threads->value_or(0)));
    return doctor(out);
  });
}

}  // namespace attend::cli
