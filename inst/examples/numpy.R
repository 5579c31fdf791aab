# R fills an array with its workers, NumPy transforms it in place, R reads it: one memory, no copy.
# Needs the package reticulate and a Python with NumPy.

library(sharedmem)

if (!requireNamespace("reticulate", quietly = TRUE) || !reticulate::py_module_available("numpy")) {
  cat("reticulate or NumPy is missing here: nothing to show\n")
  quit(status = 0L)
}
np <- reticulate::import("numpy", convert = FALSE)

# Memory of this process that is not shared, in MB: what a copy, R's or Python's, would add to. Pages of shared arrays are a
# file's to the kernel, and not counted as anonymous.
own_mb <- function() {
  gc()
  line <- grep("^Anonymous:", readLines("/proc/self/smaps_rollup"), value = TRUE)
  as.numeric(gsub("[^0-9]", "", line)) / 1024
}

x <- empty(c(5000, 2000))                       # 80 MB
invisible(MapReduce(np = 2)$map(function(j) {
  x[, j] <- (1:5000) * j
  NULL
}, 1:2000))

a <- reticulate::r_to_py(x)                     # numpy.ndarray of shape (5000, 2000), Fortran order
invisible(np$sqrt(np$ones(10L)))                # NumPy's own start is not what is measured
before <- own_mb()
invisible(np$sqrt(a, out = a))                  # NumPy writes into R's array
after <- own_mb()

stopifnot(x[4, 9] == 6, all.equal(x[5000, 2000], sqrt(1e7)),
          reticulate::py_to_r(a$ctypes$data) == reticulate::py_to_r(reticulate::r_to_py(x)$ctypes$data),
          after - before < 40)
cat(sprintf("x[4, 9] is %g after numpy.sqrt(); memory of its own grew by %.1f MB, the array has %.0f MB\n",
            x[4, 9], after - before, nbytes(x) / 2^20))
