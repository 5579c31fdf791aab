# Reading and writing elements of arrays: loops over single ones, blocks, strides, random positions, sums.

n <- size(5e6, 2.5e5)
loops <- size(1e5, 2000)
section("Elements of arrays", sprintf(paste0("Vectors of %.0e doubles. bigmemory's are matrices of one column, ff's lie in a file; ",
                                             "numpy times itself."), n))

values <- stats::rnorm(n)
block <- as.integer(n / 5)
rows <- 11:(block + 10L)
scattered <- sample.int(n, block)
strided <- seq(1, n, by = 5)
new_block <- stats::rnorm(block)
python <- numpy_python()
numpy_file <- tempfile()
if (!is.null(python)) tofile(values, numpy_file)
in_numpy <- function(code) numpy(python, numpy_file, "f8", code)

# Each holder of the values, and how it is read and written; `reader(x)` gives function(i), `writer(x)` function(i, v).
holders <- list(
  sharedmem = function() copy(values),
  `base R` = function() values + 0,
  bigmemory = function() bigmemory::as.big.matrix(matrix(values), type = "double"),
  ff = function() ff::as.ff(values),
  shard = function() {
    x <- shard::buffer("double", dim = n)
    x[seq_len(n)] <- values
    x
  },
  SharedObject = function() SharedObject::share(values, copyOnWrite = FALSE))
held <- lapply(names(holders), function(who) {
  package <- if (who %in% c("sharedmem", "base R")) "stats" else who
  if (!nzchar(system.file(package = package))) return(absent(paste(package, "is not installed")))
  tryCatch(holders[[who]](), error = function(e) absent(paste("failed:", conditionMessage(e))))
})
names(held) <- names(holders)
# `f` for a vector and `g` for bigmemory's matrix; both are functions of what is held.
each <- function(f, g, who = names(held)) {
  lapply(held[who], function(x) {
    force(x)
    if (inherits(x, "absent")) return(x)
    if (inherits(x, "big.matrix")) function() g(x) else function() f(x)
  })
}

`[.bench_floor` <- function(x, i, ...) .Call(c_null, x, i)
`[<-.bench_floor` <- function(x, i, value) {
  .Call(c_null, x, i)
  x
}
c_null <- floors$null
cell <- structure(list(), class = "bench_floor")

text <- sprintf("%.0e", loops)
work(paste(text, "element reads in a loop"), c(
  each(function(x) for (k in seq_len(loops)) v <- x[7], function(x) for (k in seq_len(loops)) v <- x[7, 1]),
  list(`limit: an S3 method with .Call` = floor_of(function() for (k in seq_len(loops)) cell[7]))),
  budget = size(8, 0.7), goal = "<= 80 ms", met = function(m) m[[1L]] <= 0.08)
work(paste(text, "element writes in a loop"), c(
  each(function(x) { x[1] <- 2; for (k in seq_len(loops)) x[7] <- 2 }, function(x) for (k in seq_len(loops)) x[7, 1] <- 2),
  list(`limit: an S3 method with .Call` = floor_of(function() for (k in seq_len(loops)) cell[7] <- 2))),
  budget = size(8, 0.7), goal = "<= 110 ms", met = function(m) m[[1L]] <= 0.11)

text <- sprintf("%.0e", block)
work(sprintf("50 x read of %s in a row, `x[a:b]`", text), c(
  each(function(x) for (k in 1:50) v <- x[11:(block + 10L)], function(x) for (k in 1:50) v <- x[11:(block + 10L), 1]),
  list(numpy = in_numpy(sprintf("for k in range(50): y=x[10:%d].copy()", block + 10L)),
       `limit: memcpy` = timed_floor("memcpy", new_block, 50L))),
  goal = "<= 60 ms", met = function(m) m[[1L]] <= 0.06, budget = size(8, 1))
held_writes <- each(function(x) { for (k in 1:50) x[11:(block + 10L)] <- new_block; x[12] },
                    function(x) { for (k in 1:50) x[11:(block + 10L), 1] <- new_block; x[12, 1] })
work(sprintf("50 x write of %s in a row", text), c(held_writes,
  list(numpy = in_numpy(sprintf("y=np.arange(%d)*1.0\nt=time.perf_counter()\nfor k in range(50): x[10:%d]=y", block, block + 10L)),
       `limit: memcpy` = timed_floor("memcpy", new_block, 50L))),
  check = function(v) is.null(v) || v == new_block[2L], goal = "<= 60 ms", met = function(m) m[[1L]] <= 0.06, budget = size(8, 1))
work(paste("strided gather of", text), c(
  each(function(x) x[strided], function(x) x[strided, 1]),
  list(numpy = in_numpy("for k in range(9): y=x[np.arange(0,len(x),5)]\ntimes=[]\nt=time.perf_counter()\ny=x[np.arange(0,len(x),5)]"),
       `limit: a loop in C` = floor_of(function() .Call(floors$gather, values, strided)))),
  check = function(v) is.null(v) || length(v) == block, times = size(11L, 3L), goal = "<= 20 ms", met = function(m) m[[1L]] <= 0.02)
work(paste("random gather of", text), c(
  each(function(x) x[scattered], function(x) x[scattered, 1]),
  list(numpy = in_numpy(sprintf("i=np.random.permutation(len(x))[:%d]\ny=x[i]\nt=time.perf_counter()\ny=x[i]", block)),
       `limit: a loop in C` = floor_of(function() .Call(floors$gather, values, scattered)))),
  check = function(v) is.null(v) || length(v) == block, times = size(11L, 3L), goal = "<= 33 ms", met = function(m) m[[1L]] <= 0.033)
work(sprintf("fill in place, `x[1:%s] <- 1`", text), each(function(x) { x[1:block] <- 1; NULL }, function(x) { x[1:block, 1] <- 1; NULL }),
     times = size(11L, 3L))
rm(held)
unlink(numpy_file)

n <- size(1e8, 2e6)
x <- copy(stats::runif(n))
v <- x[]
total <- sum(v)
if (!is.null(python)) tofile(x, numpy_file)
big <- if (nzchar(system.file(package = "bigmemory"))) bigmemory::as.big.matrix(matrix(v), type = "double")
file <- if (nzchar(system.file(package = "ff"))) ff::as.ff(v)
work(sprintf("sum of %.0e doubles", n), list(
  `sharedmem, 1 thread` = function() .Call(sharedmem:::ffi_reduce_run, x, 0L, FALSE, 1L),
  `sharedmem, sum(x)` = function() sum(x),
  `sharedmem, sum(shared_view(x))` = function() sum(shared_view(x)),
  `base R` = function() sum(v),
  bigmemory = if (is.null(big)) absent("bigmemory is not installed") else function() sum(big[, 1]),
  ff = if (is.null(file)) absent("ff is not installed") else function() sum(file[]),
  numpy = in_numpy("y=x.sum()"),
  `limit: C, 1 thread` = floor_of(function() .Call(floors$sum, v, 1L)),
  `limit: C, 2 threads` = floor_of(function() .Call(floors$sum, v, 2L))),
  check = function(s) is.null(s) || abs(s / total - 1) < 1e-10, goal = "<= 159 ms", met = function(m) m[[1L]] <= 0.159, budget = size(8, 1))
unlink(numpy_file)
