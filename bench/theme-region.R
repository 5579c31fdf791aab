# Parallel regions: what a region and a barrier cost, and a Jacobi iteration against serial R.

section("Parallel regions")
two <- Parallel(Reduction("+", s = 0), num_threads = 2)
work("an empty region of 2 processes", list(
  sharedmem = function() with(two, NULL),
  `map of 2 empty items` = function() MapReduce(np = 2)$map(function(i) NULL, 1:2),
  `parallel::mclapply` = function() parallel::mclapply(1:2, function(i) NULL, mc.cores = 2)),
  times = size(21L, 7L))

n_loop <- size(1e5, 1e4)
work(sprintf("a loop of %d items `function(i) NULL`", as.integer(n_loop)), list(
  `sharedmem, static` = function() with(two, two$forloop(seq_len(n_loop), function(i) NULL)),
  `sharedmem, dynamic, chunk 100` = function() with(two, two$forloop(seq_len(n_loop), function(i) NULL, schedule = "dynamic", chunk = 100)),
  `sharedmem, dynamic, chunk 1` = function() with(two, two$forloop(seq_len(n_loop), function(i) NULL, schedule = "dynamic")),
  `sharedmem, guided` = function() with(two, two$forloop(seq_len(n_loop), function(i) NULL, schedule = "guided")),
  `sharedmem, static, ordered, not entered` = function() with(two, two$forloop(seq_len(n_loop), function(i, o) NULL, ordered = TRUE)),
  `lapply, serial` = function() lapply(seq_len(n_loop), function(i) NULL)),
  times = size(7L, 3L))

# One matrix in shared memory, written in place: all compute from it, all wait, all write, all wait. The four
# neighbours of a block of columns are views of the matrix, each shifted by one row or column, so nothing is copied
# out; what that computes for the first and last row is not used.
n <- size(2000L, 400L)
sweeps <- size(200L, 20L)
start <- matrix(0, n, n)
start[1, ] <- 1
start[, 1] <- 0.5
inner <- 2:(n - 1L)
blocks <- function(cols) split(cols, ceiling(seq_along(cols) / 16))
relax <- function(u, k) 0.25 * (u[1:(n - 2L), 2:(k - 1L)] + u[3:n, 2:(k - 1L)] + u[inner, 1:(k - 2L)] + u[inner, 3:k])
around <- function(b) (b[1L] - 1L):(b[length(b)] + 1L)

jacobi_region <- function(nproc) {
  p <- Parallel(Shared(u = start), num_threads = nproc)
  with(p, {
    u <- p$var$u
    mine <- blocks(inner[ceiling(seq_along(inner) / length(inner) * p$num_threads) == p$rank + 1L])
    runs <- lapply(mine, function(b) ((b[1L] - 1L) * n + 1L):(b[length(b)] * n))
    shifted <- function(by) lapply(runs, function(r) shared_view(u, r[1L] + by, r[length(r)] + by))
    up <- shifted(-1L)
    down <- shifted(1L)
    left <- shifted(-n)
    right <- shifted(n)
    rows <- lapply(mine, function(b) outer(c(1L, n), (seq_along(b) - 1L) * n, `+`))
    edge <- Map(function(r, k) u[r[k]], runs, rows)
    new <- vector("list", length(mine))
    for (k in seq_len(sweeps)) {
      for (i in seq_along(mine)) new[[i]] <- 0.25 * (up[[i]] + down[[i]] + left[[i]] + right[[i]])
      p$barrier()
      for (i in seq_along(mine)) {
        value <- new[[i]]
        value[rows[[i]]] <- edge[[i]]
        u[runs[[i]]] <- value
      }
      p$barrier()
    }
  })
  p$var$u[]
}
jacobi_blocks <- function() {
  u <- start
  all <- blocks(inner)
  for (k in seq_len(sweeps)) {
    new <- lapply(all, function(b) relax(u[, around(b)], length(b) + 2L))
    for (i in seq_along(all)) u[inner, all[[i]]] <- new[[i]]
  }
  u
}
jacobi_plain <- function() {
  u <- start
  for (k in seq_len(sweeps)) u[inner, inner] <- relax(u, n)
  u
}
expected <- jacobi_plain()
work(sprintf("Jacobi, %d x %d, %d sweeps, equal to the last bit", n, n, sweeps), list(
  `sharedmem, 2 processes` = function() jacobi_region(2),
  `sharedmem, 1 process` = function() jacobi_region(1),
  `serial R, same blocks` = jacobi_blocks,
  `serial R, whole matrix` = jacobi_plain),
  times = size(3L, 2L), check = function(u) identical(u, expected))

# Microseconds a barrier, beside plain C.
program <- build_c(c("bench/barrier_floor.c", "src/sync_barrier.c", "src/sync_futex.c"))
built <- !is.null(program)
rounds <- size(20000L, 2000L)
in_c <- function(kind, nproc) as.numeric(system2(program, c(kind, nproc, rounds), stdout = TRUE))
in_r <- function(nproc) {
  p <- Parallel(num_threads = nproc)
  with(p, {
    p$barrier()
    began <- now()
    for (k in seq_len(rounds)) p$barrier()
    (now() - began) / rounds * 1e6
  })
}
put("| one barrier, microseconds | median | min | max |")
put("| --- | ---: | ---: | ---: |")
for (nproc in c(2L, 4L)) {
  runs <- replicate(size(9L, 3L), c(if (built) c(in_c("pthread", nproc), in_c("ours", nproc)) else c(NA, NA), in_r(nproc)))
  who <- c("pthread barrier between processes, C", "the package's barrier, C", "p$barrier(), R")
  for (i in 1:3)
    put(sprintf("| %s, %d processes | %.2f | %.2f | %.2f |", who[i], nproc, median(runs[i, ]), min(runs[i, ]), max(runs[i, ])))
}
unlink(program)
