#include "data/json.h"

#include <set>
#include <vector>

#include "attend/base/error.h"

namespace attend::data {
namespace {

constexpr std::size_t kMaxDepth = 64;

/// Watches depth and keys while the library parses.
class Watch {
 public:
  explicit Watch(const std::string& name) : name_(name) {}

  void operator()(nlohmann::json::parse_event_t event, const nlohmann::json& value) {
    using Event = nlohmann::json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      keys_.emplace_back();
      if (keys_.size() > kMaxDepth)
        fail_input(name_ + ": nested deeper than " + std::to_string(kMaxDepth) + " levels");
    } else if (event == Event::object_end || event == Event::array_end) {
      keys_.pop_back();
    } else if (event == Event::key) {
      const auto& key = value.get_ref<const std::string&>();
      if (!keys_.back().insert(key).second)
        fail_input(name_ + ": the key '" + key.substr(0, 60) + "' occurs twice");
    }
  }

 private:
  const std::string& name_;
  std::vector<std::set<std::string>> keys_;  // one per level
};

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& name) {
  Watch watch(name);
  try {
    return nlohmann::json::parse(
        text.begin(), text.end(),
        [&](int, nlohmann::json::parse_event_t event, nlohmann::json& value) {
          watch(event, value);
          return true;
        });
  } catch (const nlohmann::json::exception& e) {
    std::string why = e.what();
    const std::size_t bracket = why.find("] ");
    if (bracket != std::string::npos) why.erase(0, bracket + 2);
    fail_input(name + ": not JSON: " + why.substr(0, 160));
  }
}

std::vector<std::string> tokens_by_id(const nlohmann::json& vocab, const std::string& name) {
  if (!vocab.is_object() || vocab.empty())
    fail_input(name + ": model.vocab is not a table of words");
  std::vector<std::string> words(vocab.size());
  std::vector<bool> is_taken(vocab.size());
  for (const auto& [word, id] : vocab.items()) {
    const std::string where = name + ": model.vocab: the id of '" + word.substr(0, 60) + "' ";
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= words.size())
      fail_input(where + "is " + id.dump().substr(0, 40) + "; expected 0…" +
                 std::to_string(words.size() - 1) + " without holes");
    const auto place = static_cast<std::size_t>(id.get<std::uint64_t>());
    if (is_taken[place]) fail_input(where + "is taken by '" + words[place].substr(0, 60) + "' too");
    is_taken[place] = true;
    words[place] = word;
  }
  return words;
}

}  // namespace attend::data
