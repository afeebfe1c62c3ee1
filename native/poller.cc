// Poller: calls back when a descriptor is readable (a ring buffer map, a perf event), through libuv's epoll.
#include <napi.h>
#include <uv.h>

namespace {

// Lives on its own, as libuv still uses the handle after the JavaScript object or the whole environment has gone.
// The cleanup hook makes the environment (a terminated worker) wait until libuv has let go of the handle.
struct Watch {
  uv_poll_t handle;
  napi_async_cleanup_hook_handle hook = nullptr;
  Napi::FunctionReference callback;
  bool closing = false;

  void Close() {
    if (closing) return;
    closing = true;
    uv_close(reinterpret_cast<uv_handle_t*>(&handle), [](uv_handle_t* closed) {
      auto* watch = static_cast<Watch*>(closed->data);
      watch->callback.Reset();
      napi_remove_async_cleanup_hook(watch->hook);
      delete watch;
    });
  }
};

void OnReadable(uv_poll_t* handle, int status, int) {
  auto* watch = static_cast<Watch*>(handle->data);
  if (watch->closing) return;
  Napi::Env env = watch->callback.Env();
  Napi::HandleScope scope(env);
  try {
    watch->callback.MakeCallback(env.Global(), {Napi::Number::New(env, status)});
  } catch (const Napi::Error& error) {
    // A worker that is being terminated; anything else goes to 'uncaughtException'.
    napi_fatal_exception(env, error.Value());
  }
}

class Poller : public Napi::ObjectWrap<Poller> {
 public:
  // new Poller(fd, callback(status)): status is 0, or a negative libuv error.
  explicit Poller(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Poller>(info) {
    Napi::Env env = info.Env();
    uv_loop_t* loop = nullptr;
    napi_get_uv_event_loop(env, &loop);
    auto* created = new Watch;
    const int status = uv_poll_init(loop, &created->handle, info[0].As<Napi::Number>().Int32Value());
    if (status != 0) {
      delete created;
      throw Napi::Error::New(env, uv_strerror(status));
    }
    created->handle.data = created;
    created->callback = Napi::Persistent(info[1].As<Napi::Function>());
    napi_add_async_cleanup_hook(
        env, [](napi_async_cleanup_hook_handle, void* data) { static_cast<Watch*>(data)->Close(); }, created,
        &created->hook);
    uv_poll_start(&created->handle, UV_READABLE, OnReadable);
    watch = created;
  }

  static Napi::Function Class(Napi::Env env) {
    return DefineClass(env, "Poller",
                       {InstanceMethod<&Poller::CloseWatch>("close"), InstanceMethod<&Poller::Start>("start"),
                        InstanceMethod<&Poller::Stop>("stop"), InstanceMethod<&Poller::Ref>("ref"), InstanceMethod<&Poller::Unref>("unref")});
  }

 private:
  Watch* watch = nullptr;

  Napi::Value CloseWatch(const Napi::CallbackInfo& info) {
    if (watch != nullptr) watch->Close();
    watch = nullptr;
    return info.Env().Undefined();
  }
  // Watches again after Stop(); a descriptor that stays readable calls back in every turn of the loop.
  Napi::Value Start(const Napi::CallbackInfo& info) {
    if (watch != nullptr) uv_poll_start(&watch->handle, UV_READABLE, OnReadable);
    return info.Env().Undefined();
  }
  Napi::Value Stop(const Napi::CallbackInfo& info) {
    if (watch != nullptr) uv_poll_stop(&watch->handle);
    return info.Env().Undefined();
  }
  Napi::Value Ref(const Napi::CallbackInfo& info) {
    if (watch != nullptr) uv_ref(reinterpret_cast<uv_handle_t*>(&watch->handle));
    return info.Env().Undefined();
  }
  Napi::Value Unref(const Napi::CallbackInfo& info) {
    if (watch != nullptr) uv_unref(reinterpret_cast<uv_handle_t*>(&watch->handle));
    return info.Env().Undefined();
  }
};

}  // namespace

Napi::Object InitPoller(Napi::Env env, Napi::Object exports) {
  exports["Poller"] = Poller::Class(env);
  return exports;
}
