#include "interop/word_vectors_text.h"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <unordered_set>

#include "attend/base/error.h"

namespace attend::interop {
namespace {

constexpr std::size_t kMaxLine = 1 << 20;

bool is_blank(char c) { return c == ' ' || c == '\t'; }

class Reader {
 public:
  Reader(std::istream& stream, const std::string& path, const std::vector<std::string>& wanted)
      : path_(path), wanted_(wanted.begin(), wanted.end()), stream_(stream) {}

  WordVectorsText run() {
    while (next_line()) take(line_);
    if (result_.width == 0)
      fail_input(path_ + ": no word vectors in it; expected lines of a word and its numbers");
    if (announced_ >= 0 && announced_ != result_.lines)
      fail_input(path_ + ":1: announces " + std::to_string(announced_) + " vectors but " +
                 std::to_string(result_.lines) + " follow: cut off?");
    return std::move(result_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    fail_input(path_ + ":" + std::to_string(number_) + ": " + what);
  }

  /// The next line without its end, or false at the end of the file.
  bool next_line() {
    if (stream_.peek() == std::char_traits<char>::eof()) {
      if (stream_.bad()) fail_io(path_ + ": cannot read: " + std::strerror(errno));
      return false;
    }
    ++number_;
    line_.resize(kMaxLine + 2);
    stream_.getline(line_.data(), static_cast<std::streamsize>(line_.size()));
    if (stream_.bad()) fail_io(path_ + ": cannot read: " + std::strerror(errno));
    if (stream_.fail()) fail("a line of more than 1 MiB; expected a word and its numbers");
    // gcount counts the newline too, except on a last line that has none.
    line_.resize(static_cast<std::size_t>(stream_.gcount()) - (stream_.eof() ? 0 : 1));
    if (line_.find('\0') != std::string::npos) fail("a NUL byte; expected text");
    if (number_ == 1 && line_.rfind("\xEF\xBB\xBF", 0) == 0) line_.erase(0, 3);
    while (!line_.empty() && (is_blank(line_.back()) || line_.back() == '\r')) line_.pop_back();
    return true;
  }

  void take(std::string_view line) {
    if (line.empty()) fail("an empty line; expected a word and its numbers");
    if (result_.width == 0) {
      if (number_ == 1 && take_header(line)) return;
      result_.width = width_of(line);
    }
    ++result_.lines;
    const std::string_view word = split(line);
    if (!wanted_.empty() && wanted_.count(std::string(word)) == 0) return;
    if (!seen_.insert(std::string(word)).second) {
      ++result_.repeated;
      return;
    }
    result_.words.emplace_back(word);
    for (const std::string_view field : fields_) result_.values.push_back(number(field));
  }

  /// "400000 300": word2vec's first line. A GloVe file of width 1 can't be told from it, and isn't one.
  bool take_header(std::string_view line) {
    std::int64_t count = 0, width = 0;
    const char* end = line.data() + line.size();
    const auto first = std::from_chars(line.data(), end, count);
    if (first.ec != std::errc() || first.ptr == end || !is_blank(*first.ptr)) return false;
    const char* p = first.ptr;
    while (p != end && is_blank(*p)) ++p;
    const auto second = std::from_chars(p, end, width);
    if (second.ec != std::errc() || second.ptr != end) return false;
    if (count < 0 || width < 1 || width > static_cast<std::int64_t>(kMaxLine))
      fail("announces " + std::to_string(count) + " vectors of width " + std::to_string(width));
    announced_ = count;
    result_.width = width;
    return true;
  }

  /// Without a header: the first line's trailing fields that are numbers, its first field being the word.
  std::int64_t width_of(std::string_view line) {
    std::int64_t width = 0;
    while (!line.empty()) {
      const std::string_view field = pop_field(line);
      float value = 0;
      if (line.empty() || !parse(field, value)) break;
      ++width;
    }
    if (width == 0) fail("no numbers after the word");
    return width;
  }

  /// Takes the last field off `line`, and the blanks before it.
  static std::string_view pop_field(std::string_view& line) {
    std::size_t begin = line.size();
    while (begin > 0 && !is_blank(line[begin - 1])) --begin;
    const std::string_view field = line.substr(begin);
    while (begin > 0 && is_blank(line[begin - 1])) --begin;
    line = line.substr(0, begin);
    return field;
  }

  /// Puts the last width fields in fields_ and returns what stands before them.
  std::string_view split(std::string_view line) {
    fields_.assign(static_cast<std::size_t>(result_.width), {});
    for (std::int64_t i = result_.width - 1; i >= 0; --i) {
      if (line.empty())
        fail("fewer than the " + std::to_string(result_.width) + " numbers of the lines before");
      fields_[static_cast<std::size_t>(i)] = pop_field(line);
    }
    if (line.empty())
      fail("fewer than the " + std::to_string(result_.width) + " numbers of the lines before");
    // A wider line would otherwise pass as a word that ends in numbers.
    std::string_view rest = line;
    float value = 0;
    if (line.find_first_of(" \t") != std::string_view::npos && parse(pop_field(rest), value))
      fail("more than the " + std::to_string(result_.width) + " numbers of the lines before");
    return line;
  }

  static bool parse(std::string_view field, float& value) {
    if (!field.empty() && field.front() == '+') field.remove_prefix(1);
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    // Too small for a float is zero, as in every other reader of these files.
    if (error == std::errc::result_out_of_range && end == field.data() + field.size()) {
      const double wide = std::strtod(std::string(field).c_str(), nullptr);
      value = static_cast<float>(wide);
      return std::abs(wide) < 1.0;
    }
    return error == std::errc() && end == field.data() + field.size() && std::isfinite(value);
  }

  float number(std::string_view field) const {
    float value = 0;
    if (!parse(field, value))
      fail("\"" + std::string(field.substr(0, 40)) + "\" is not a finite number");
    return value;
  }

  std::string path_;
  std::unordered_set<std::string> wanted_, seen_;
  std::istream& stream_;
  std::string line_;
  std::int64_t number_ = 0, announced_ = -1;
  std::vector<std::string_view> fields_;
  WordVectorsText result_;
};

}  // namespace

WordVectorsText read_word_vectors_text(std::istream& stream, const std::string& path,
                                       const std::vector<std::string>& wanted) {
  return Reader(stream, path, wanted).run();
}

}  // namespace attend::interop
