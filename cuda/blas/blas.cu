#include "cuda/blas/blas.h"

#include <cublasLt.h>
#include <dlfcn.h>

#include <map>

#include "base/error.h"
#include "cuda/device.h"

namespace sotto {
namespace {

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw Error(ErrorKind::cuda, cat("cuBLASLt: ", what, ": status ", int(status)));
}

// The library's functions, found when the first Blas is made. It stays loaded: unloading it saves nothing.
struct Library {
  void* handle = dlopen("libcublasLt.so.13", RTLD_NOW | RTLD_LOCAL);
  decltype(&cublasLtCreate) create = find<decltype(&cublasLtCreate)>("cublasLtCreate");
  decltype(&cublasLtDestroy) destroy = find<decltype(&cublasLtDestroy)>("cublasLtDestroy");
  decltype(&cublasLtMatmul) matmul = find<decltype(&cublasLtMatmul)>("cublasLtMatmul");
  decltype(&cublasLtMatmulDescCreate) create_operation =
      find<decltype(&cublasLtMatmulDescCreate)>("cublasLtMatmulDescCreate");
  decltype(&cublasLtMatmulDescDestroy) destroy_operation =
      find<decltype(&cublasLtMatmulDescDestroy)>("cublasLtMatmulDescDestroy");
  decltype(&cublasLtMatmulDescSetAttribute) set_operation =
      find<decltype(&cublasLtMatmulDescSetAttribute)>("cublasLtMatmulDescSetAttribute");
  decltype(&cublasLtMatrixLayoutCreate) create_layout =
      find<decltype(&cublasLtMatrixLayoutCreate)>("cublasLtMatrixLayoutCreate");
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout =
      find<decltype(&cublasLtMatrixLayoutDestroy)>("cublasLtMatrixLayoutDestroy");
  decltype(&cublasLtMatrixLayoutSetAttribute) set_layout =
      find<decltype(&cublasLtMatrixLayoutSetAttribute)>("cublasLtMatrixLayoutSetAttribute");
  decltype(&cublasLtMatmulPreferenceCreate) create_preference =
      find<decltype(&cublasLtMatmulPreferenceCreate)>("cublasLtMatmulPreferenceCreate");
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference =
      find<decltype(&cublasLtMatmulPreferenceDestroy)>("cublasLtMatmulPreferenceDestroy");
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference =
      find<decltype(&cublasLtMatmulPreferenceSetAttribute)>("cublasLtMatmulPreferenceSetAttribute");
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic =
      find<decltype(&cublasLtMatmulAlgoGetHeuristic)>("cublasLtMatmulAlgoGetHeuristic");

  decltype(&cublasLtMatmulAlgoCheck) check_algorithm =
      find<decltype(&cublasLtMatmulAlgoCheck)>("cublasLtMatmulAlgoCheck");

 private:
  template <class Function>
  Function find(const char* name) const {
    void* const found = handle ? dlsym(handle, name) : nullptr;
    if (!found)
      throw Error(ErrorKind::cuda, cat("matrix products on a GPU need libcublasLt.so.13 of CUDA 13 (",
                                       handle ? cat("it has no ", name) : std::string(dlerror()),
                                       "); put its folder into LD_LIBRARY_PATH"));
    return reinterpret_cast<Function>(found);
  }
};

const Library& library() {
  static const Library loaded;
  return loaded;
}

// What cuBLASLt's descriptions of one shape have in common: made, set, and destroyed at the end.
template <class Handle, auto kDestroy>
class Owned {
 public:
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (handle) (library().*kDestroy)(handle);
  }
  Handle handle = nullptr;
};

// A shape as cuBLASLt has it described, and how it is done.
struct Choice {
  Owned<cublasLtMatmulDesc_t, &Library::destroy_operation> operation;
  Owned<cublasLtMatrixLayout_t, &Library::destroy_layout> first, second, product;
  cublasLtMatmulAlgo_t algorithm;
  size_t workspace_bytes = 0;
};

// The algorithm of a shape is that of a batch of this many, whatever the batch: what rounding makes of one product must
// not say how many there were.
constexpr int64_t kUsualBatch = 32;

Matmul usual(Matmul matmul) {
  if (matmul.batch == 1) {
    matmul.a_stride = matmul.rows * matmul.depth;
    matmul.b_stride = matmul.depth * matmul.cols;
    matmul.c_stride = matmul.rows * matmul.cols;
  }
  matmul.batch = kUsualBatch;
  return matmul;
}

void describe(cublasLtMatrixLayout_t& layout, cudaDataType_t type, const ColumnMajor& matrix, int64_t batch,
              int64_t stride) {
  check(library().create_layout(&layout, type, static_cast<uint64_t>(matrix.rows), static_cast<uint64_t>(matrix.cols),
                                matrix.rows),
        "layout");
  const auto count = static_cast<int32_t>(batch);
  check(library().set_layout(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof(count)), "batch");
  check(library().set_layout(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof(stride)), "stride");
}

void describe(const Matmul& matmul, Choice& choice) {
  const bool narrow = matmul.type == MatmulType::bfloat16;
  const cudaDataType_t type = narrow ? CUDA_R_16BF : CUDA_R_32F;
  // Pedantic: an environment variable can have other sums of float32 emulated.
  const cublasComputeType_t compute = narrow ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32F_PEDANTIC;
  check(library().create_operation(&choice.operation.handle, compute, CUDA_R_32F), "operation");
  const ColumnMajorMatmul columns = by_columns(matmul);
  const cublasOperation_t of_first = columns.first_transposed ? CUBLAS_OP_T : CUBLAS_OP_N,
                          of_second = columns.second_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  check(library().set_operation(choice.operation.handle, CUBLASLT_MATMUL_DESC_TRANSA, &of_first, sizeof(of_first)),
        "transposition");
  check(library().set_operation(choice.operation.handle, CUBLASLT_MATMUL_DESC_TRANSB, &of_second, sizeof(of_second)),
        "transposition");
  describe(choice.first.handle, type, columns.first, matmul.batch, matmul.b_stride);
  describe(choice.second.handle, type, columns.second, matmul.batch, matmul.a_stride);
  describe(choice.product.handle, CUDA_R_32F, columns.product, matmul.batch, matmul.c_stride);
}

void choose(cublasLtHandle_t handle, const Matmul& matmul, size_t workspace_limit, Choice& choice) {
  const ColumnMajorMatmul columns = by_columns(matmul);
  Owned<cublasLtMatmulPreference_t, &Library::destroy_preference> preference;
  check(library().create_preference(&preference.handle), "preference");
  const uint32_t unsplit = CUBLASLT_REDUCTION_SCHEME_NONE;
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    check(library().set_preference(preference.handle, attribute, &value, sizeof(value)), "preference");
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_limit);
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, unsplit);
  const auto aligned = [&](const ColumnMajor& matrix, int64_t stride) {
    return static_cast<uint32_t>(alignment_of(matmul.type, matrix, stride));
  };
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, aligned(columns.first, matmul.b_stride));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, aligned(columns.second, matmul.a_stride));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, uint32_t{4});
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, uint32_t{4});

  cublasLtMatmulHeuristicResult_t found;
  int count = 0;
  check(library().heuristic(handle, choice.operation.handle, choice.first.handle, choice.second.handle,
                            choice.product.handle, choice.product.handle, preference.handle, 1, &found, &count),
        "heuristic");
  if (count == 0)
    throw Error(ErrorKind::cuda, cat("cuBLASLt has no algorithm for ", matmul.rows, "x", matmul.cols, " sums of ",
                                     matmul.depth, " products, ", matmul.batch, " times, in ", workspace_limit,
                                     " bytes of workspace; allow more, or do without tensor cores"));
  choice.algorithm = found.algo;
  choice.workspace_bytes = found.workspaceSize;
}

}  // namespace

struct Blas::State {
  cublasLtHandle_t handle = nullptr;
  size_t workspace_limit;
  std::map<Matmul, Choice> usual_choices, choices;

  // Made and described where it is not yet; `fill` finds or takes the algorithm.
  template <class Fill>
  const Choice& made(std::map<Matmul, Choice>& choices, const Matmul& matmul, Fill fill) {
    const auto found = choices.find(matmul);
    if (found != choices.end()) return found->second;
    Choice& choice = choices[matmul];
    try {
      describe(matmul, choice);
      fill(choice);
    } catch (...) {
      choices.erase(matmul);
      throw;
    }
    return choice;
  }

  const Choice& choice_of(const Matmul& matmul) {
    require(matmul.rows > 0 && matmul.cols > 0 && matmul.depth > 0 && matmul.batch > 0 && matmul.batch <= INT32_MAX,
            "a product needs rows, columns and depth, got ", matmul.rows, "x", matmul.cols, " sums of ", matmul.depth,
            " products, ", matmul.batch, " times");
    return made(choices, matmul, [&](Choice& choice) {
      const Matmul model = usual(matmul);
      choice.algorithm = made(usual_choices, model, [&](Choice& of_model) {
                           choose(handle, model, workspace_limit, of_model);
                         }).algorithm;
      cublasLtMatmulHeuristicResult_t held{};
      check(library().check_algorithm(handle, choice.operation.handle, choice.first.handle, choice.second.handle,
                                      choice.product.handle, choice.product.handle, &choice.algorithm, &held),
            "algorithm");
      choice.workspace_bytes = held.workspaceSize;
      if (held.workspaceSize > workspace_limit)
        throw Error(ErrorKind::cuda,
                    cat("cuBLASLt needs ", held.workspaceSize, " bytes for ", matmul.batch,
                        " products at a time, the limit is ", workspace_limit, "; allow more, or fewer products"));
    });
  }
};

Blas::Blas(size_t workspace_limit) : state_(std::make_unique<State>()) {
  if (!cuda_present()) throw Error(ErrorKind::cuda, "matrix products on a GPU: there is no CUDA device");
  state_->workspace_limit = workspace_limit;
  check(library().create(&state_->handle), "handle");
}

Blas::~Blas() {
  if (!state_->handle) return;
  state_->choices.clear();
  state_->usual_choices.clear();
  library().destroy(state_->handle);
}

size_t Blas::workspace_limit() const {
  return state_->workspace_limit;
}

size_t Blas::workspace_bytes(const Matmul& matmul) {
  return state_->choice_of(matmul).workspace_bytes;
}

void Blas::multiply(const Exec& exec, const Matmul& matmul, const void* a, const void* b, float* c, void* workspace) {
  const Choice& choice = state_->choice_of(matmul);
  const ColumnMajorMatmul columns = by_columns(matmul);
  const auto require_aligned = [&](const char* name, const void* data, const ColumnMajor& matrix, int64_t stride) {
    const int64_t alignment = alignment_of(matmul.type, matrix, stride);
    require(reinterpret_cast<uintptr_t>(data) % alignment == 0, "operand ", name, " must lie at a multiple of ",
            alignment, " bytes, as its rows do");
  };
  require_aligned("a", a, columns.second, matmul.a_stride);
  require_aligned("b", b, columns.first, matmul.b_stride);
  const float one = 1, zero = 0;
  check(library().matmul(state_->handle, choice.operation.handle, &one, b, choice.first.handle, a, choice.second.handle,
                         &zero, c, choice.product.handle, c, choice.product.handle, &choice.algorithm, workspace,
                         choice.workspace_bytes, exec.stream()),
        "product");
}

}  // namespace sotto
