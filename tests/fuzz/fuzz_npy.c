/* arr_npy: headers of any bytes. What is believed lies in the file; what is not has a reason in words. */
#include "../../src/arr_npy.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *why = exactly(SM_NPY_WHY);
  sm_npy h;
  memset(why, 'w', SM_NPY_WHY);
  fuzz_in in = {data, size};
  uint64_t beyond = take_u8(&in); /* of a large file only the first bytes are looked at */
  size_t n = in.left < SM_NPY_MOST ? in.left : SM_NPY_MOST;
  uint8_t *bytes = exactly(n);
  take(&in, bytes, n);
  uint64_t whole = n == SM_NPY_MOST ? n + beyond * 1000 : n;
  int rc = sm_npy_read(bytes, n, whole, &h, why);
  CHECK(rc == 0 || rc == SM_EFORMAT, "a reader gives one of its codes");
  if (rc < 0) {
    const char *end = memchr(why, 0, SM_NPY_WHY);
    CHECK(end && end > why, "a refusal has a reason");
    for (const char *p = why; p < end; p++) CHECK(*p >= ' ' && *p <= '~', "that can be printed");
  } else {
    uint64_t length = 1;
    CHECK(sm_dtype_valid(h.dtype) && h.ndim >= 0 && h.ndim <= SM_NPY_NDIM, "a header that is taken has a dtype and extents");
    for (int i = 0; i < h.ndim; i++) {
      CHECK(h.dim[i] >= 0, "extents are no less than 0");
      length *= (uint64_t)h.dim[i];
    }
    CHECK((uint64_t)h.length == length, "whose product is the length");
    CHECK(h.offset <= whole && length <= (whole - h.offset) / h.dtype.itemsize, "and its elements lie in the file");
    CHECK(h.swap == 1 || h.swap == 2 || h.swap == 4 || h.swap == 8, "in one of two byte orders");
  }
  free(bytes);
  free(why);
  return 0;
}
