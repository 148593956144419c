// One word to ids: WordPiece's greedy match and byte pair merging.
#include <queue>

#include "data/codec_state.h"
#include "data/unicode.h"

namespace attend::data {
namespace {

constexpr std::size_t kMostCharacters = 100;  // BERT's max_input_chars_per_word

/// A token of a word under merging, in a list that is linked both ways by place.
struct PieceNode {
  std::int64_t id = 0;
  std::int64_t previous = -1;
  std::int64_t next = -1;
  bool is_gone = false;
};

/// A pair that may be merged: the left token's place, and the ids it had when it was found.
struct PieceCandidate {
  MergeRule rule;
  std::int64_t place = 0;
  std::uint64_t key = 0;
  /// Lowest rank first, then leftmost.
  bool operator<(const PieceCandidate& other) const {
    return rule.rank != other.rule.rank ? rule.rank > other.rule.rank : place > other.place;
  }
};

class PieceMerger {
 public:
  PieceMerger(const TextCodec::State& state, std::vector<PieceNode> nodes)
      : state_(state), nodes_(std::move(nodes)) {
    for (std::size_t i = 0; i + 1 < nodes_.size(); ++i) find(static_cast<std::int64_t>(i));
  }

  void run(double dropout, Random* random) {
    std::vector<PieceCandidate> left_out;  // by dropout; they get a new chance after a merge
    while (!queue_.empty()) {
      const PieceCandidate top = queue_.top();
      queue_.pop();
      if (!is_valid(top)) continue;
      if (dropout > 0 && random->uniform() < dropout) {
        left_out.push_back(top);
        continue;
      }
      for (const PieceCandidate& candidate : left_out) queue_.push(candidate);
      left_out.clear();
      merge(top);
    }
  }

  void append_ids(std::vector<std::int64_t>& ids) const {
    for (std::int64_t i = nodes_.empty() ? -1 : 0; i >= 0; i = at(i).next) ids.push_back(at(i).id);
  }

 private:
  const PieceNode& at(std::int64_t place) const { return nodes_[static_cast<std::size_t>(place)]; }
  PieceNode& at(std::int64_t place) { return nodes_[static_cast<std::size_t>(place)]; }

  void find(std::int64_t place) {
    if (place < 0 || at(place).next < 0) return;
    const std::uint64_t key = pair_key(at(place).id, at(at(place).next).id);
    const auto rule = state_.rules.find(key);
    if (rule != state_.rules.end()) queue_.push({rule->second, place, key});
  }

  bool is_valid(const PieceCandidate& candidate) const {
    const PieceNode& node = at(candidate.place);
    return !node.is_gone && node.next >= 0 && pair_key(node.id, at(node.next).id) == candidate.key;
  }

  void merge(const PieceCandidate& candidate) {
    PieceNode& node = at(candidate.place);
    PieceNode& right = at(node.next);
    node.id = candidate.rule.result;
    right.is_gone = true;
    node.next = right.next;
    if (node.next >= 0) at(node.next).previous = candidate.place;
    find(node.previous);
    find(candidate.place);
  }

  const TextCodec::State& state_;
  std::vector<PieceNode> nodes_;
  std::priority_queue<PieceCandidate> queue_;
};

}  // namespace

void index_merges(TextCodec::State& state) {
  state.rules.reserve(state.merges.size());
  std::int64_t rank = 0;
  for (const TextCodec::Merge& merge : state.merges)
    state.rules[pair_key(merge.left, merge.right)] = {rank++, merge.result};
}

void byte_pair(const TextCodec::State& state, std::string_view word, double dropout, Random* random,
               std::vector<std::int64_t>& ids) {
  std::vector<PieceNode> nodes;
  for (std::size_t place = 0; place < word.size();) {
    const std::size_t start = place;
    next_code_point(word, place);
    const auto id = state.vocabulary.find(word.substr(start, place - start));
    const auto i = static_cast<std::int64_t>(nodes.size());
    nodes.push_back({id.value_or(state.vocabulary.unk()), i - 1, i + 1});
  }
  if (!nodes.empty()) nodes.back().next = -1;
  PieceMerger merger(state, std::move(nodes));
  merger.run(dropout, random);
  merger.append_ids(ids);
}

void word_piece(const Vocabulary& vocabulary, std::string_view word,
                std::vector<std::int64_t>& ids) {
  std::vector<std::size_t> starts;  // of code points, and the end
  for (std::size_t place = 0; place < word.size(); next_code_point(word, place))
    starts.push_back(place);
  if (starts.size() > kMostCharacters) return ids.push_back(vocabulary.unk());
  starts.push_back(word.size());
  const std::size_t before = ids.size();
  for (std::size_t first = 0; first + 1 < starts.size();) {
    std::size_t last = starts.size() - 1;
    for (; last > first; --last) {
      const std::string_view text = word.substr(starts[first], starts[last] - starts[first]);
      const auto id = vocabulary.find(first == 0 ? std::string(text) : "##" + std::string(text));
      if (!id) continue;
      ids.push_back(*id);
      break;
    }
    if (last == first) {
      ids.resize(before);
      return ids.push_back(vocabulary.unk());
    }
    first = last;
  }
}

}  // namespace attend::data
