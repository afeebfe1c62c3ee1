// The native part of elfbee: system calls that Node has no API for. Bytes and numbers in, the kernel's result or
// -errno out. Layouts, retries and the meaning of an errno are TypeScript (src/kernel).
#include <napi.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>
#include <unordered_map>
#include <unordered_set>

#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

Napi::Object InitPoller(Napi::Env env, Napi::Object exports);

namespace {

int Result(long result) { return result < 0 ? -errno : static_cast<int>(result); }

int Fd(const Napi::Value& value) { return value.As<Napi::Number>().Int32Value(); }

struct Span {
  uint8_t* data = nullptr;
  size_t size = 0;
};

Span BytesOf(const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw Napi::TypeError::New(value.Env(), "a Uint8Array was expected");
  auto array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

// Writes the address of each buffer of [offset, Uint8Array, nested?][] at its offset in `into`; `nested` has the same
// form and is written into the buffer first (an array of strings is a buffer of pointers).
void WritePointers(const Span& into, const Napi::Value& list) {
  if (!list.IsArray()) return;
  auto rows = list.As<Napi::Array>();
  for (uint32_t i = 0; i < rows.Length(); i++) {
    auto row = Napi::Value(rows[i]).As<Napi::Array>();
    const int64_t offset = Napi::Value(row[0u]).As<Napi::Number>().Int64Value();
    const Span target = BytesOf(row[1u]);
    WritePointers(target, row[2u]);
    if (offset < 0 || into.size < 8 || static_cast<uint64_t>(offset) > into.size - 8)
      throw Napi::RangeError::New(list.Env(), "pointer offset outside the attribute");
    const uint64_t address = reinterpret_cast<uintptr_t>(target.data);
    std::memcpy(into.data + offset, &address, sizeof(address));
  }
}

struct BpfCall {
  int cmd;
  Span attr, common;

  // (cmd, attr, pointers, common?, commonPointers?): the optional pair is struct bpf_common_attr of Linux 7.
  explicit BpfCall(const Napi::CallbackInfo& info) : cmd(Fd(info[0])), attr(BytesOf(info[1])) {
    WritePointers(attr, info[2]);
    if (info[3].IsTypedArray()) {
      common = BytesOf(info[3]);
      WritePointers(common, info[4]);
    }
  }

  int Run() const { return Result(syscall(SYS_bpf, cmd, attr.data, attr.size, common.data, common.size)); }
};

Napi::Value Bpf(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), BpfCall(info).Run()); }

// The same call on a thread of libuv's pool. All arguments stay referenced, so no buffer moves or goes away.
class BpfWorker : public Napi::AsyncWorker {
 public:
  explicit BpfWorker(const Napi::CallbackInfo& info)
      : Napi::AsyncWorker(info.Env()), deferred(Napi::Promise::Deferred::New(info.Env())), call(info) {
    auto kept = Napi::Array::New(info.Env());
    for (uint32_t i = 0; i < info.Length(); i++) kept[i] = info[i];
    arguments = Napi::Persistent(static_cast<Napi::Object>(kept));
  }
  Napi::Promise Promise() const { return deferred.Promise(); }
  void Execute() override { result = call.Run(); }
  void OnOK() override {
    try {
      deferred.Resolve(Napi::Number::New(Env(), result));
    } catch (const Napi::Error&) {
      // The worker thread is being terminated: nobody waits any more.
    }
  }

 private:
  Napi::Promise::Deferred deferred;
  Napi::ObjectReference arguments;
  BpfCall call;
  int result = 0;
};

Napi::Value BpfAsync(const Napi::CallbackInfo& info) {
  auto* worker = new BpfWorker(info);
  auto promise = worker->Promise();
  worker->Queue();
  return promise;
}

// Descriptors that this environment's objects own. JavaScript closes them, but a worker that is terminated runs no more
// JavaScript: what is left then is closed with the environment.
thread_local auto* owned = new std::unordered_set<int>();

Napi::Value Own(const Napi::CallbackInfo& info) {
  owned->insert(Fd(info[0]));
  return info.Env().Undefined();
}

Napi::Value Close(const Napi::CallbackInfo& info) {
  const int fd = Fd(info[0]);
  owned->erase(fd);
  return Napi::Number::New(info.Env(), Result(close(fd)));
}

// (fds, paths as zero-terminated bytes, command, attribute size): OBJ_PIN for each in turn, by a child that shares our
// memory and lives on when this process is killed meanwhile, so that there are all pins or none. 0, or -errno with the
// number of the one that failed times 4096.
Napi::Value PinAll(const Napi::CallbackInfo& info) {
  struct PinAttr {
    uint64_t path;
    uint32_t fd, flags;
  };
  auto fds = info[0].As<Napi::Array>();
  auto paths = info[1].As<Napi::Array>();
  const int cmd = Fd(info[2]);
  std::vector<PinAttr> pins;
  for (uint32_t i = 0; i < fds.Length(); i++) {
    const auto path = reinterpret_cast<uintptr_t>(BytesOf(paths[i]).data);
    pins.push_back({path, static_cast<uint32_t>(Fd(fds[i])), 0});
  }
  volatile int failed = 0;
  volatile int error = 0;
  const pid_t child = vfork();
  if (child == 0) {
    for (size_t i = 0; i < pins.size(); i++) {
      if (syscall(SYS_bpf, cmd, &pins[i], sizeof(PinAttr)) >= 0) continue;
      error = errno;
      failed = static_cast<int>(i);
      while (i-- > 0) unlink(reinterpret_cast<const char*>(pins[i].path));
      break;
    }
    _exit(0);
  }
  if (child < 0) return Napi::Number::New(info.Env(), -errno);
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) continue;
  return Napi::Number::New(info.Env(), -(error + failed * 4096));
}

struct Mapping {
  void* data;
  size_t length;
};

// What is mapped by address. The collector's call comes some time after detach(), when another mapping may be there.
thread_local auto* mappings = new std::unordered_map<void*, Mapping*>();

void Unmap(void* data, const Mapping* mapping) {
  const auto found = mappings->find(data);
  if (found == mappings->end() || found->second != mapping) return;
  mappings->erase(found);
  munmap(data, mapping->length);
}

// (fd, length, prot, offset, flags = MAP_SHARED, address hint as a bigint) -> ArrayBuffer over the mapping, or -errno. detach() or the collector
// unmaps it.
Napi::Value Mmap(const Napi::CallbackInfo& info) {
  const auto length = static_cast<size_t>(info[1].As<Napi::Number>().Int64Value());
  const auto offset = static_cast<off_t>(info[3].As<Napi::Number>().Int64Value());
  const int flags = info[4].IsNumber() ? info[4].As<Napi::Number>().Int32Value() : MAP_SHARED;
  bool lossless = true;
  const uint64_t hint = info[5].IsBigInt() ? info[5].As<Napi::BigInt>().Uint64Value(&lossless) : 0;
  void* memory = mmap(reinterpret_cast<void*>(hint), length, info[2].As<Napi::Number>().Int32Value(), flags, Fd(info[0]), offset);
  if (memory == MAP_FAILED) return Napi::Number::New(info.Env(), -errno);
  auto* mapping = new Mapping{memory, length};
  (*mappings)[memory] = mapping;
  return Napi::ArrayBuffer::New(
      info.Env(), memory, length,
      [](Napi::Env, void*, Mapping* ended) {
        Unmap(ended->data, ended);
        delete ended;
      },
      mapping);
}

Napi::Value Detach(const Napi::CallbackInfo& info) {
  auto buffer = info[0].As<Napi::ArrayBuffer>();
  if (buffer.IsDetached()) return info.Env().Undefined();
  void* data = buffer.Data();
  buffer.Detach();
  const auto found = mappings->find(data);
  if (found != mappings->end()) Unmap(data, found->second);
  return info.Env().Undefined();
}

// (attr, pid, cpu, groupFd, flags, pointers?)
Napi::Value PerfEventOpen(const Napi::CallbackInfo& info) {
  const Span attr = BytesOf(info[0]);
  WritePointers(attr, info[5]);
  return Napi::Number::New(
      info.Env(), Result(syscall(SYS_perf_event_open, attr.data, Fd(info[1]), Fd(info[2]), Fd(info[3]), Fd(info[4]))));
}

// (fd, request, argument)
Napi::Value Ioctl(const Napi::CallbackInfo& info) {
  const auto request = static_cast<unsigned long>(info[1].As<Napi::Number>().Int64Value());
  return Napi::Number::New(info.Env(), Result(ioctl(Fd(info[0]), request, Fd(info[2]))));
}

// (fd, namespaceType): moves the calling thread only.
Napi::Value Setns(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), Result(setns(Fd(info[0]), Fd(info[1]))));
}

// (name) in the network namespace of the calling thread.
Napi::Value IfNameToIndex(const Napi::CallbackInfo& info) {
  const std::string name = info[0].As<Napi::String>();
  const unsigned index = if_nametoindex(name.c_str());
  return Napi::Number::New(info.Env(), index == 0 ? -errno : static_cast<int>(index));
}

// (request) to rtnetlink in the network namespace of the calling thread -> its answers up to the acknowledgement or the
// end of a dump, as one Uint8Array; or -errno of the socket.
Napi::Value Netlink(const Napi::CallbackInfo& info) {
  const Span request = BytesOf(info[0]);
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return Napi::Number::New(info.Env(), -errno);
  // A kernel that does not answer must not hang the process.
  const timeval limit = {5, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  std::vector<uint8_t> answers;
  long result = send(fd, request.data, request.size, 0);
  for (bool over = result < 0; !over;) {
    std::vector<uint8_t> part(64 * 1024);
    result = recv(fd, part.data(), part.size(), 0);
    if (result < 0) break;
    answers.insert(answers.end(), part.begin(), part.begin() + result);
    for (long at = 0; at + static_cast<long>(sizeof(nlmsghdr)) <= result;) {
      nlmsghdr header;
      std::memcpy(&header, part.data() + at, sizeof(header));
      if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE) over = true;
      if (header.nlmsg_len < sizeof(header)) break;
      at += NLMSG_ALIGN(header.nlmsg_len);
    }
  }
  const int error = result < 0 ? -errno : 0;
  close(fd);
  if (error != 0) return Napi::Number::New(info.Env(), error);
  auto bytes = Napi::Uint8Array::New(info.Env(), answers.size());
  std::memcpy(bytes.Data(), answers.data(), answers.size());
  return bytes;
}

// Takes the limit off locked memory, which kernels before 5.11 charge maps and programs to. 0 or -errno.
Napi::Value UnlimitMemlock(const Napi::CallbackInfo& info) {
  const rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
  return Napi::Number::New(info.Env(), Result(setrlimit(RLIMIT_MEMLOCK, &none)));
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports["bpf"] = Napi::Function::New(env, Bpf, "bpf");
  exports["bpfAsync"] = Napi::Function::New(env, BpfAsync, "bpfAsync");
  exports["own"] = Napi::Function::New(env, Own, "own");
  env.AddCleanupHook([] {
    for (const int fd : *owned) close(fd);
    owned->clear();
  });
  exports["close"] = Napi::Function::New(env, Close, "close");
  exports["pinAll"] = Napi::Function::New(env, PinAll, "pinAll");
  exports["mmap"] = Napi::Function::New(env, Mmap, "mmap");
  exports["detach"] = Napi::Function::New(env, Detach, "detach");
  exports["perfEventOpen"] = Napi::Function::New(env, PerfEventOpen, "perfEventOpen");
  exports["ioctl"] = Napi::Function::New(env, Ioctl, "ioctl");
  exports["setns"] = Napi::Function::New(env, Setns, "setns");
  exports["ifNameToIndex"] = Napi::Function::New(env, IfNameToIndex, "ifNameToIndex");
  exports["netlink"] = Napi::Function::New(env, Netlink, "netlink");
  exports["unlimitMemlock"] = Napi::Function::New(env, UnlimitMemlock, "unlimitMemlock");
  exports["pageSize"] = Napi::Number::New(env, static_cast<double>(sysconf(_SC_PAGESIZE)));
  return InitPoller(env, exports);
}

}  // namespace

NODE_API_MODULE(elfbee, Init)
