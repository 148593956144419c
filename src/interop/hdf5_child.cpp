// attend-hdf5: an HDF5 file on standard input becomes safetensors on standard output.
//
// HDF5's library has a long history of memory errors on files made for it. So it runs in this process and in no other, and when
// it meets the first byte the process can only compute, and write to the two pipes it was given: every file descriptor but those is
// closed, the kernel refuses any call that opens, connects or starts something, memory can't be made executable, and time
// and memory are limited. What comes out is untrusted too: the reader of safetensors checks it like any file.
//
// Exit status: 0; 3 when the file makes no sense, 1 when the lock cannot be set, each with one line on standard error.
#include <fcntl.h>
#include <hdf5.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30;  // of the file, and of its arrays
constexpr std::size_t kMostArrays = 10000, kMostName = 512, kMostText = std::size_t{1} << 20;
constexpr int kMostRank = 8;
constexpr rlim_t kSeconds = 60;

[[noreturn]] void end(int status, const std::string& message) {
  std::string line = message + "\n";
  [[maybe_unused]] const ssize_t n = ::write(2, line.data(), line.size());
  ::_exit(status);
}
[[noreturn]] void refuse(const std::string& message) { end(3, message); }

std::vector<char> read_input() {
  struct stat info {};
  if (::fstat(0, &info) != 0 || !S_ISREG(info.st_mode)) refuse("not a regular file");
  if (static_cast<std::uint64_t>(info.st_size) > kMostBytes) refuse("larger than 1 GiB");
  std::vector<char> bytes(static_cast<std::size_t>(info.st_size));
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t n = ::read(0, bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) refuse("cannot be read to its end");
    at += static_cast<std::size_t>(n);
  }
  return bytes;
}

void limit(int resource, rlim_t most) {
  const rlimit value{most, most};
  if (::setrlimit(static_cast<__rlimit_resource>(resource), &value) != 0)
    end(1, "cannot limit what reading HDF5 may use");
}

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "attend-hdf5: name this architecture for seccomp"
#endif

/// From here on only what a computation needs; anything else fails with EPERM.
void lock_down() {
  std::vector<sock_filter> program;
  const auto add = [&](std::uint16_t code, std::uint32_t k, std::uint8_t yes = 0,
                       std::uint8_t no = 0) {
    program.push_back({code, yes, no, k});
  };
  const auto load = [&](std::size_t offset) {
    add(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
  };
  const auto give = [&](std::uint32_t verdict) { add(BPF_RET | BPF_K, verdict); };
  constexpr std::uint32_t kRefused = SECCOMP_RET_ERRNO | EPERM;
  load(offsetof(seccomp_data, arch));
  add(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0);
  give(SECCOMP_RET_KILL_PROCESS);
  load(offsetof(seccomp_data, nr));
  for (const long call : {SYS_write, SYS_munmap, SYS_mremap, SYS_brk, SYS_madvise, SYS_futex,
                          SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_clock_gettime}) {
    add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 1);
    give(SECCOMP_RET_ALLOW);
  }
  // mmap and mprotect, but for executable memory.
  add(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 2, 0);
  add(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 1, 0);
  give(kRefused);
  load(offsetof(seccomp_data, args) + 2 * sizeof(std::uint64_t));
  add(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1);
  give(kRefused);
  give(SECCOMP_RET_ALLOW);
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
    end(1, "this kernel cannot lock a process down (seccomp), so HDF5 is not read here");
  if (::open("/dev/null", O_RDONLY) >= 0) end(1, "the lock on this process does not hold");
}

struct Array {
  std::string name;
  std::vector<hsize_t> shape;
  bool is_double = false;
  std::uint64_t bytes = 0;
};

bool is_plain(std::string_view text) {
  for (const char c : text)
    if (c < ' ' || c > '~' || c == '"' || c == '\\') return false;
  return !text.empty() && text.size() <= kMostName;
}

/// An array of floating-point numbers, or one without a name for anything else.
Array described(hid_t object, const char* name) {
  Array out;
  const hid_t type = H5Dget_type(object), space = H5Dget_space(object);
  if (type < 0 || space < 0) refuse("a dataset has no type or no shape");
  const std::size_t width = H5Tget_size(type);
  if (H5Tget_class(type) != H5T_FLOAT || width > 8) return out;
  const int rank = H5Sget_simple_extent_ndims(space);
  if (rank < 0 || rank > kMostRank) refuse("a dataset has more than 8 dimensions");
  if (!is_plain(name)) refuse("the name of a dataset is too long or not plain ASCII");
  out.shape.resize(static_cast<std::size_t>(rank));
  if (rank > 0 && H5Sget_simple_extent_dims(space, out.shape.data(), nullptr) < 0)
    refuse("a dataset has no shape");
  out.is_double = width == 8;
  out.bytes = out.is_double ? 8 : 4;
  for (const hsize_t n : out.shape) {
    if (n != 0 && out.bytes > kMostBytes / n) refuse("its arrays are larger than 1 GiB");
    out.bytes *= n;
  }
  H5Sclose(space), H5Tclose(type);
  out.name = name;
  return out;
}

herr_t collect(hid_t group, const char* name, const H5L_info_t* link, void* list) {
  if (link->type != H5L_TYPE_HARD) return 0;
  const hid_t object = H5Oopen(group, name, H5P_DEFAULT);
  if (object < 0) refuse("one of its objects cannot be opened: the file is damaged");
  auto& all = *static_cast<std::vector<Array>*>(list);
  if (H5Iget_type(object) == H5I_DATASET) {
    Array found = described(object, name);
    if (!found.name.empty()) all.push_back(std::move(found));
  }
  H5Oclose(object);
  if (all.size() > kMostArrays) refuse("more than 10000 arrays");
  return 0;
}

/// The text of an attribute of the file; "" when there is none.
std::string attribute(hid_t file, const char* name) {
  if (H5Aexists(file, name) <= 0) return "";
  const hid_t of = H5Aopen(file, name, H5P_DEFAULT), type = H5Aget_type(of);
  std::string out;
  if (H5Tget_class(type) != H5T_STRING || H5Aget_storage_size(of) > kMostText) return out;
  if (H5Tis_variable_str(type) > 0) {
    char* text = nullptr;
    if (H5Aread(of, type, &text) >= 0 && text != nullptr)
      out.assign(text, ::strnlen(text, kMostText));
  } else {
    out.resize(H5Tget_size(type));
    if (out.size() > kMostText || H5Aget_storage_size(of) != out.size() ||
        H5Aread(of, type, out.data()) < 0)
      return "";
    out.resize(::strnlen(out.data(), out.size()));
  }
  return out;
}

std::string json_text(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c < ' ' || c > '~' ? '?' : c;
  }
  return out + "\"";
}

void write_all(const char* bytes, std::size_t n) {
  while (n > 0) {
    const ssize_t done = ::write(1, bytes, n);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) ::_exit(1);
    bytes += done, n -= static_cast<std::size_t>(done);
  }
}

void write_header(const std::vector<Array>& arrays, const std::string& config) {
  std::string json = "{\"__metadata__\":{\"model_config\":" + json_text(config) + "}";
  std::uint64_t at = 0;
  for (const Array& array : arrays) {
    json += ",\"" + array.name + "\":{\"dtype\":\"" + (array.is_double ? "F64" : "F32") +
            "\",\"shape\":[";
    for (const hsize_t n : array.shape) json += (json.back() == '[' ? "" : ",") + std::to_string(n);
    json +=
        "],\"data_offsets\":[" + std::to_string(at) + "," + std::to_string(at + array.bytes) + "]}";
    at += array.bytes;
    if (at > kMostBytes) refuse("its arrays are larger than 1 GiB");
  }
  json += "}";
  const std::uint64_t n = json.size();
  write_all(reinterpret_cast<const char*>(&n), sizeof n);
  write_all(json.data(), json.size());
}

void write_data(hid_t file, const Array& array) {
  const hid_t set = H5Dopen(file, array.name.c_str(), H5P_DEFAULT);
  std::vector<char> bytes(array.bytes);
  if (set < 0 || H5Dread(set, array.is_double ? H5T_NATIVE_DOUBLE : H5T_NATIVE_FLOAT, H5S_ALL,
                         H5S_ALL, H5P_DEFAULT, bytes.data()) < 0)
    refuse("dataset '" + array.name + "' cannot be read: the file is damaged");
  write_all(bytes.data(), bytes.size());
  H5Dclose(set);
}

}  // namespace

int main() {
  ::close_range(3, ~0U, 0);
  std::vector<char> bytes = read_input();
  if (H5open() < 0 || H5Eset_auto(H5E_DEFAULT, nullptr, nullptr) < 0 ||
      H5PLset_loading_state(0) < 0)
    end(1, "HDF5's library cannot be started");
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_CPU, kSeconds);
  limit(RLIMIT_AS, 4 * kMostBytes);
  lock_down();
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  hid_t file = -1;
  if (H5Pset_fapl_core(access, std::size_t{1} << 16, false) >= 0 &&
      H5Pset_file_image(access, bytes.data(), bytes.size()) >= 0)
    file = H5Fopen("input", H5F_ACC_RDONLY, access);  // a name only: the bytes are in memory
  if (file < 0) refuse("not an HDF5 file, or a damaged one");
  std::vector<Array> arrays;
  if (H5Lvisit(file, H5_INDEX_NAME, H5_ITER_INC, collect, &arrays) < 0)
    refuse("its groups cannot be read: the file is damaged");
  write_header(arrays, attribute(file, "model_config"));
  for (const Array& array : arrays) write_data(file, array);
  ::_exit(0);
}
