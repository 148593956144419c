#include "data/download.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "attend/base/error.h"
#include "data/part_file.h"

namespace attend::data {
namespace {

/// One request: what the server said, and where its bytes go.
struct Attempt {
  PartFile& part;
  const Progress& progress;
  const DownloadOptions& options;
  CURL* curl = nullptr;
  std::int64_t asked_from = 0;
  std::int64_t range_from = -1;  // of Content-Range
  std::int64_t before = 0;       // bytes that the part holds already
  std::string etag{}, modified{};
  bool has_begun = false;
  std::exception_ptr error{};
};

enum class Outcome { kComplete, kTryAgain, kStartAnew };

std::string host_of(const std::string& url) {
  const std::size_t start = url.find("://");
  if (start == std::string::npos) return url;
  return url.substr(start + 3, url.find('/', start + 3) - start - 3);
}

bool take_header(std::string_view line, std::string_view name, std::string& value) {
  if (line.size() <= name.size() || line[name.size()] != ':') return false;
  for (std::size_t i = 0; i < name.size(); ++i)
    if ((line[i] | 0x20) != name[i]) return false;
  line.remove_prefix(name.size() + 1);
  while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  value = line;
  return true;
}

std::size_t on_header(char* bytes, std::size_t size, std::size_t n, void* user) {
  auto& attempt = *static_cast<Attempt*>(user);
  const std::string_view line(bytes, size * n);
  if (line.substr(0, 5) == "HTTP/") {  // a redirect's headers do not count
    attempt.etag.clear();
    attempt.modified.clear();
    attempt.range_from = -1;
  }
  std::string range;
  if (take_header(line, "content-range", range) && range.compare(0, 6, "bytes ") == 0)
    std::from_chars(range.data() + 6, range.data() + range.size(), attempt.range_from);
  take_header(line, "etag", attempt.etag);
  take_header(line, "last-modified", attempt.modified);
  return size * n;
}

/// Before the first byte: go on where the part ends, or empty it.
void begin(Attempt& attempt, long status) {
  attempt.has_begun = true;
  if (status == 206) {
    if (attempt.range_from != attempt.asked_from)
      fail_io("the server sent another range than asked for");
    return;
  }
  const bool is_weak = attempt.etag.compare(0, 2, "W/") == 0;
  attempt.part.restart(attempt.etag.empty() || is_weak ? attempt.modified : attempt.etag);
  attempt.before = 0;
}

std::size_t on_bytes(char* bytes, std::size_t size, std::size_t n, void* user) {
  auto& attempt = *static_cast<Attempt*>(user);
  long status = 0;
  curl_easy_getinfo(attempt.curl, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200 && status != 206) return size * n;  // an error page
  try {
    if (!attempt.has_begun) begin(attempt, status);
    attempt.part.append({bytes, size * n});
    if (attempt.part.size() > attempt.options.most_bytes)
      fail_io("the file is larger than expected");
  } catch (...) {  // must not pass through C
    attempt.error = std::current_exception();
    return 0;
  }
  return size * n;
}

int on_progress(void* user, curl_off_t total, curl_off_t done, curl_off_t, curl_off_t) {
  auto& attempt = *static_cast<Attempt*>(user);
  if (!attempt.progress) return 0;
  try {
    attempt.progress("downloading", attempt.before + done, total > 0 ? attempt.before + total : 0);
  } catch (...) {
    attempt.error = std::current_exception();
    return 1;
  }
  return 0;
}

void configure(CURL* curl, const std::string& url, Attempt& attempt) {
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  const bool is_secure = url.compare(0, 8, "https://") == 0;
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, is_secure ? "https" : "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 5L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "attend/0.1");
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, static_cast<long>(attempt.options.connect_s));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(attempt.options.stall_s));
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &attempt);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &on_bytes);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &attempt);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &attempt);
}

[[noreturn]] void fail_unreachable(const std::string& url, const std::string& why) {
  fail_io("cannot fetch " + url + ": " + why + "; is " + host_of(url) +
          " reachable from here? Without a network, copy the files to a folder of ATTEND_DATA");
}

/// One request. Throws what no second attempt could mend; `why` says what went wrong otherwise.
Outcome try_once(const std::string& url, PartFile& part, const Progress& progress,
                 const DownloadOptions& options, std::string& why) {
  Attempt attempt{part, progress, options};
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(),
                                                                 &curl_easy_cleanup);
  if (!curl) fail_io("libcurl cannot start");
  attempt.curl = curl.get();
  attempt.before = part.size();
  configure(curl.get(), url, attempt);
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(nullptr,
                                                                      &curl_slist_free_all);
  if (part.size() > 0 && !part.validator().empty()) {
    attempt.asked_from = part.size();
    headers.reset(curl_slist_append(nullptr, ("If-Range: " + part.validator()).c_str()));
    curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(curl.get(), CURLOPT_RANGE, (std::to_string(part.size()) + "-").c_str());
  }
  const CURLcode code = curl_easy_perform(curl.get());
  if (attempt.error) std::rethrow_exception(attempt.error);
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  why =
      code == CURLE_OK ? "the server answered " + std::to_string(status) : curl_easy_strerror(code);
  if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY)
    fail_unreachable(url, why);  // waiting seldom mends that
  if (code != CURLE_OK) return Outcome::kTryAgain;
  if (status == 206 && attempt.has_begun) return Outcome::kComplete;
  if (status == 200) {
    if (!attempt.has_begun) begin(attempt, status);  // an empty file
    return Outcome::kComplete;
  }
  if (status == 416 || status == 206) return Outcome::kStartAnew;
  if (status == 429 || status == 408 || status >= 500) return Outcome::kTryAgain;
  fail_io(url + ": " + why);
}

/// Until the part is complete.
void gather(const std::string& url, PartFile& part, const std::string& sha256,
            const Progress& progress, const DownloadOptions& options) {
  std::string why;
  int wait_ms = options.wait_ms;
  int left = 20 * options.tries;  // also for a server that ever cuts and never resumes
  for (int fruitless = 0; fruitless < options.tries && left > 0; --left) {
    const std::int64_t size = part.size();
    const Outcome outcome = try_once(url, part, progress, options, why);
    if (outcome == Outcome::kComplete) return;
    if (outcome == Outcome::kStartAnew) {  // 416: the part may be all there is
      if (part.sha256() == sha256) return;
      part.discard();
      ++fruitless;
      continue;
    }
    if (part.size() > size) {
      fruitless = 0;
      wait_ms = options.wait_ms;
    } else if (++fruitless == options.tries) {
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
    wait_ms = std::min(2 * wait_ms, 8000);
  }
  fail_unreachable(url, why);
}

}  // namespace

void download(const std::string& url, const std::string& path, const std::string& sha256,
              const Progress& progress, const DownloadOptions& options) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  PartFile part(path, url);
  std::string found;
  for (int t = 0; t < 2; ++t) {
    gather(url, part, sha256, progress, options);
    found = part.sha256();
    if (sha256.empty() || found == sha256) return part.finish();
    part.discard();
  }
  fail_input(url + ": SHA-256 is " + found + " instead of " + sha256 +
             ": the file has changed or was damaged on the way; nothing was kept");
}

}  // namespace attend::data
