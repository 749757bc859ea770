#include "engine/roofline/curand.h"

#include <dlfcn.h>

#include "base/error.h"

namespace sotto {
namespace {

// What curand.h of the CUDA toolkit declares: a build without the toolkit has this file, too.
constexpr int kPhilox4x32_10 = 161;

void check(int status, const char* call) {
  if (status != 0) throw Error(ErrorKind::cuda, cat("cuRAND: ", call, " failed with status ", status));
}

}  // namespace

struct CurandNormals::Library {
  Library() {
    void* handle = dlopen("libcurand.so.10", RTLD_NOW);
    if (!handle) throw Error(ErrorKind::cuda, cat("cannot load cuRAND: ", dlerror()));
    find(handle, "curandCreateGenerator", create);
    find(handle, "curandDestroyGenerator", destroy);
    find(handle, "curandSetStream", set_stream);
    find(handle, "curandSetPseudoRandomGeneratorSeed", set_seed);
    find(handle, "curandGenerateNormal", generate_normal);
  }
  static const Library& get() {
    static const Library library;
    return library;
  }
  int (*create)(void** generator, int kind);
  int (*destroy)(void* generator);
  int (*set_stream)(void* generator, CudaStream stream);
  int (*set_seed)(void* generator, unsigned long long seed);
  int (*generate_normal)(void* generator, float* out, size_t count, float mean, float stddev);

 private:
  template <class Function>
  static void find(void* handle, const char* name, Function*& function) {
    function = reinterpret_cast<Function*>(dlsym(handle, name));
    if (!function) throw Error(ErrorKind::cuda, cat("cuRAND has no ", name));
  }
};

struct CurandNormals::Generator {
  void* handle = nullptr;
  Generator() { check(Library::get().create(&handle, kPhilox4x32_10), "curandCreateGenerator"); }
  Generator(const Generator&) = delete;
  ~Generator() { Library::get().destroy(handle); }
};

CurandNormals::CurandNormals(const Exec& exec, uint64_t seed) : generator_(std::make_shared<Generator>()) {
  check(Library::get().set_stream(generator_->handle, exec.stream()), "curandSetStream");
  check(Library::get().set_seed(generator_->handle, seed), "curandSetPseudoRandomGeneratorSeed");
}

void CurandNormals::fill(float stddev, VectorView<float> out) const {
  check(Library::get().generate_normal(generator_->handle, out.data, static_cast<size_t>(out.size), 0, stddev),
        "curandGenerateNormal");
}

}  // namespace sotto
