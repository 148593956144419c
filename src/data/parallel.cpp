#include "attend/data/parallel.h"

#include "attend/base/error.h"
#include "data/gzip.h"
#include "data/json.h"
#include "data/readers.h"

namespace attend::data {
namespace {

constexpr char kWordSpace[] = " \t\r\n\v\f";

/// `text` without what lies beyond its first `most` words; true when something was cut.
bool cap(std::string& text, std::int64_t most) {
  if (most <= 0) return false;
  std::size_t place = 0;
  for (std::int64_t word = 0; word < most; ++word) {
    place = text.find_first_not_of(kWordSpace, place);
    if (place == std::string::npos) return false;
    place = text.find_first_of(kWordSpace, place);
    if (place == std::string::npos) return false;
  }
  if (text.find_first_not_of(kWordSpace, place) == std::string::npos) return false;
  text.resize(place);
  return true;
}

void add_bad(ParallelSet& set, const SentencePair& pair, const std::string& reason) {
  set.bad_lines.push_back({pair.file, pair.line, reason});
}

/// Keeps a pair whose sides are text, or counts it.
void add_pair(ParallelSet& set, SentencePair pair, const ParallelOptions& options) {
  const bool no_source = trim(pair.source).empty();
  if (no_source || trim(pair.target).empty()) {
    ++set.empty;
    return add_bad(set, pair,
                   std::string("the ") + (no_source ? "source" : "target") + " side is empty");
  }
  const std::int64_t source_words = count_words(pair.source);
  const std::int64_t target_words = count_words(pair.target);
  for (const Link& link : pair.alignment)
    if (link.source >= source_words || link.target >= target_words)
      return add_bad(set, pair,
                     "the link " + to_pharaoh({link}) + " is beyond " +
                         std::to_string(source_words) + " source and " +
                         std::to_string(target_words) + " target words");
  const bool is_cut_source = cap(pair.source, options.max_words);
  const bool is_cut_target = cap(pair.target, options.max_words);
  if (is_cut_source || is_cut_target) {
    ++set.capped;
    std::erase_if(pair.alignment, [&](const Link& link) {
      return link.source >= options.max_words || link.target >= options.max_words;
    });
  }
  set.pairs.push_back(std::move(pair));
}

void require_pairs(const ParallelSet& set, const std::string& name) {
  if (!set.pairs.empty()) return;
  if (set.bad_lines.empty()) fail_input(name + ": empty; expected one sentence pair a line");
  fail_input(name + ": no good pair; " + describe_bad_lines(set));
}

/// `source TAB target [TAB alignment]`, or why not.
std::string tsv_pair(const std::string& line, SentencePair& pair) {
  const std::size_t first = line.find('\t');
  if (first == std::string::npos) return "no tab between source and target";
  const std::size_t second = line.find('\t', first + 1);
  pair.source = line.substr(0, first);
  pair.target = line.substr(first + 1, second - first - 1);
  if (second == std::string::npos) return "";
  const std::string rest = line.substr(second + 1);
  if (rest.find('\t') != std::string::npos) return "more than three columns";
  pair.alignment = parse_pharaoh(rest);
  return "";
}

std::string jsonl_pair(const std::string& line, SentencePair& pair) {
  const nlohmann::json object = parse_json(line, "x");
  if (!object.is_object()) return "not an object";
  for (const char* key : {"source", "target"}) {
    if (!object.contains(key)) return std::string("the key '") + key + "' is missing";
    if (!object.at(key).is_string()) return std::string("the ") + key + " is not a string";
  }
  pair.source = object.at("source").get<std::string>();
  pair.target = object.at("target").get<std::string>();
  if ((pair.source + pair.target).find('\0') != std::string::npos) return "a NUL in the text";
  if (!object.contains("alignment")) return "";
  if (!object.at("alignment").is_string()) return "the alignment is not a string";
  pair.alignment = parse_pharaoh(object.at("alignment").get<std::string>());
  return "";
}

ParallelSet read_pairs(LineReader& lines, bool is_jsonl, const ParallelOptions& options) {
  ParallelSet out;
  out.name = lines.name();
  std::string line;
  while (lines.next(line)) {
    drop_carriage_return(line);
    if (lines.number() == 1 && !is_jsonl &&
        (line == "source\ttarget" || line == "source\ttarget\talignment"))
      continue;
    SentencePair pair;
    pair.file = lines.name();
    pair.line = lines.number();
    std::string problem = problem_of(line);
    try {
      if (problem.empty() && !trim(line).empty())
        problem = is_jsonl ? jsonl_pair(line, pair) : tsv_pair(line, pair);
    } catch (const Error& e) {
      problem = e.what();
      if (problem.starts_with("x: ")) problem.erase(0, 3);
    }
    if (problem.empty())
      add_pair(out, std::move(pair), options);
    else
      add_bad(out, pair, problem);
  }
  require_pairs(out, lines.name());
  return out;
}

[[noreturn]] void fail_unequal(const LineReader& longer, const LineReader& shorter) {
  fail_input(longer.name() + " goes on at line " + std::to_string(longer.number()) + " where " +
             shorter.name() + " has ended after " + std::to_string(shorter.number()) +
             " lines; line i of one must be the translation of line i of the other");
}

}  // namespace

ParallelSet load_parallel_files(const std::string& source, const std::string& target,
                                const ParallelOptions& options) {
  LineReader sources(bytes_of_any_file(source), source, options.max_line_bytes);
  LineReader targets(bytes_of_any_file(target), target, options.max_line_bytes);
  ParallelSet out;
  out.name = source + "," + target;
  for (SentencePair pair;; pair = {}) {
    const bool has_source = sources.next(pair.source);
    const bool has_target = targets.next(pair.target);
    if (has_source != has_target)
      has_source ? fail_unequal(sources, targets) : fail_unequal(targets, sources);
    if (!has_source) break;
    drop_carriage_return(pair.source);
    drop_carriage_return(pair.target);
    const std::string source_problem = problem_of(pair.source);
    const std::string target_problem = problem_of(pair.target);
    pair.line = sources.number();
    pair.file = source_problem.empty() && !target_problem.empty() ? target : source;
    if (source_problem.empty() && target_problem.empty()) {
      if (!trim(pair.source).empty() && trim(pair.target).empty()) pair.file = target;
      add_pair(out, std::move(pair), options);
    } else {
      add_bad(out, pair, source_problem.empty() ? target_problem : source_problem);
    }
  }
  require_pairs(out, out.name);
  return out;
}

ParallelSet load_pairs(const std::string& path, const ParallelOptions& options) {
  const std::string plain = path.ends_with(".gz") ? path.substr(0, path.size() - 3) : path;
  const bool is_jsonl = plain.ends_with(".jsonl") || plain.ends_with(".ndjson");
  if (!is_jsonl && !plain.ends_with(".tsv") && !plain.ends_with(".tab"))
    fail_input(path +
               ": unknown kind of file for sentence pairs; name it *.tsv (source TAB target) or "
               "*.jsonl, or give two text files as SOURCE,TARGET");
  LineReader lines(bytes_of_any_file(path), path, options.max_line_bytes);
  return read_pairs(lines, is_jsonl, options);
}

ParallelSet load_pairs_bytes(std::string_view bytes, const std::string& name, bool is_jsonl,
                             const ParallelOptions& options) {
  LineReader lines(bytes_of(bytes), name, options.max_line_bytes);
  return read_pairs(lines, is_jsonl, options);
}

std::string describe_pairs(const ParallelSet& set) {
  std::int64_t source = 0, target = 0;
  for (const SentencePair& pair : set.pairs) {
    source += count_words(pair.source);
    target += count_words(pair.target);
  }
  std::string out = std::to_string(set.pairs.size()) + " pairs, " + std::to_string(source) +
                    " source and " + std::to_string(target) + " target words";
  if (set.empty > 0) out += "; " + std::to_string(set.empty) + " with an empty side left out";
  if (set.capped > 0) out += "; " + std::to_string(set.capped) + " cut to the most words";
  const auto others = static_cast<std::int64_t>(set.bad_lines.size()) - set.empty;
  if (others > 0) out += "; " + std::to_string(others) + " other lines left out";
  return out;
}

std::string describe_bad_lines(const ParallelSet& set, std::size_t most) {
  Dataset lines;
  lines.bad_lines = set.bad_lines;
  return describe_bad_lines(lines, most);
}

}  // namespace attend::data
