#pragma once
/// Fails or kills at the n-th system call that changes a file, counted from arm(). The program's own open, write, fsync,
/// rename and mkdir stand before libc's, for the libraries that it loads too.
namespace faults {

enum class Act {
  kNone,
  kFail,
  kHalf,
  kKill
};  // kHalf: a write takes half its bytes, all later ones none (a full disk)

void arm(long nth, Act act);
/// Returns how many calls there were since arm().
long disarm();

}  // namespace faults
