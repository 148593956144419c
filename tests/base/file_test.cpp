// Failures are real ones: a folder that may not be written, a 64 KB disk, RLIMIT_FSIZE, a rename
// onto a folder. No mutation has been planted yet.
#include "attend/base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "attend/base/error.h"
#include "support/temporary_folder.h"

namespace attend {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class File : public ::testing::Test {
 protected:
  void TearDown() override { fs::permissions(folder_, fs::perms::owner_all); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(folder_))
      out.push_back(entry.path().filename().string());
    return out;
  }
  test::TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path();
};

void expect_io_error(const std::function<void()>& act, const std::string& path,
                     const std::string& reason) {
  try {
    act();
    ADD_FAILURE() << "no error for " << path;
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kIo);
    EXPECT_THAT(e.what(), HasSubstr(path));
    EXPECT_THAT(e.what(), HasSubstr(reason));
  }
}

TEST(Sha256, VectorsOfFips180) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_F(File, WhatIsWrittenIsReadByteForByte) {
  std::string bytes;
  for (int i = 0; i < 200000; ++i)
    bytes += static_cast<char>(i * 7);  // NUL, newlines, more than one block
  for (const std::string& content : {std::string(), std::string("x"), bytes}) {
    write_file_atomically(path("f"), content);
    EXPECT_EQ(read_file(path("f")), content);
    EXPECT_EQ(sha256_of_file(path("f")), sha256(content));
    EXPECT_EQ(names(), std::vector<std::string>{"f"});
  }
}

TEST_F(File, ReadingSaysWhatIsWrong) {
  expect_io_error([&] { read_file(path("none")); }, path("none"), "No such file");
  expect_io_error([&] { sha256_of_file(path("none")); }, path("none"), "No such file");
  expect_io_error([&] { read_file(folder_.string()); }, folder_.string(), "not a regular file");
}

TEST_F(File, AFailedRenameLeavesNothingBehind) {
  fs::create_directories(path("target/inside"));  // a folder that is not empty cannot be replaced
  expect_io_error([&] { write_file_atomically(path("target"), "new"); }, path("target"),
                  "cannot replace");
  EXPECT_EQ(names(), std::vector<std::string>{"target"});
}

TEST_F(File, MissingFolder) {
  expect_io_error([&] { write_file_atomically(path("no/f"), "new"); }, path("no/f"),
                  "cannot create");
}

TEST_F(File, UnwritableFolderKeepsTheOldFile) {
  write_file_atomically(path("f"), "old");
  fs::permissions(folder_, fs::perms::owner_read | fs::perms::owner_exec);
  if (::geteuid() == 0) {  // root may write anywhere: become somebody else in a child
    ASSERT_EQ(::chown(folder_.c_str(), 65534, 65534), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      if (::setuid(65534) != 0) ::_exit(3);
      try {
        write_file_atomically(path("f"), "new");
      } catch (const Error& e) {
        ::_exit(e.kind() == ErrorKind::kIo ? 0 : 2);
      }
      ::_exit(1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
        << "child exit " << WEXITSTATUS(status);
  } else {
    expect_io_error([&] { write_file_atomically(path("f"), "new"); }, path("f"),
                    "Permission denied");
  }
  EXPECT_EQ(read_file(path("f")), "old");
  EXPECT_EQ(names(), std::vector<std::string>{"f"});
}

TEST_F(File, AFileTooLargeForTheLimitKeepsTheOldOne) {
  // RLIMIT_FSIZE makes write() first short, then fail: what a quota or a full disk does.
  write_file_atomically(path("f"), "old");
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_file_atomically(path("f"), std::string(5000, 'x'));
    } catch (const Error& e) {
      ::_exit(e.kind() == ErrorKind::kIo &&
                      std::string(e.what()).find("cannot write") != std::string::npos
                  ? 0
                  : 2);
    }
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
      << "child exit " << WEXITSTATUS(status);
  EXPECT_EQ(read_file(path("f")), "old");
  EXPECT_EQ(names(), std::vector<std::string>{"f"});
}

TEST_F(File, AFullDiskKeepsTheOldFile) {
  const std::string disk = path("disk");
  fs::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=64k") != 0)
    GTEST_SKIP()
        << "mounting a 64 KB tmpfs needs root; the RLIMIT_FSIZE test covers a failing write";
  write_file_atomically(disk + "/f", "old");
  expect_io_error([&] { write_file_atomically(disk + "/f", std::string(1 << 20, 'x')); },
                  disk + "/f", "No space left");
  EXPECT_EQ(read_file(disk + "/f"), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(disk), fs::directory_iterator()), 1);
  ::umount(disk.c_str());
}

}  // namespace
}  // namespace attend
