# Sections and counters: what it costs to let one in at a time, alone and from several workers.

section("Locks and counters", paste0("Limits are what R and the machine cost without the package: bare closures, methods and `.Call`s, ",
                                     "and plain C."))

n <- size(1e5, 5000)
the_one <- MapReduce(np = 1)
# A worker times its loop itself, so that the fork does not count.
loop_in_worker <- function(f) function() own_time(the_one$map(function(i) {
  start <- now()
  f()
  now() - start
}, 1)[[1L]])

# Functions of the user's stand in the global environment, or one step from it.
uncontended <- bare(function() for (k in seq_len(n)) the_one$critical({}), n = n, the_one = the_one)
hoisted <- bare(function() for (k in seq_len(n)) critical({}), n = n, critical = the_one$critical)
for (entry in c("lock", "unlock", "read", "write", "null")) assign(paste0("c_", entry), floors[[entry]])
bare_section <- function(expr) {
  .Call(c_lock)
  on.exit(.Call(c_unlock))
  expr
}
sync_mutex <- if (requireNamespace("synchronicity", quietly = TRUE)) synchronicity::boost.mutex()
inter_mutex <- if (requireNamespace("interprocess", quietly = TRUE)) interprocess::mutex()
# it has a name that outlives the process
reg.finalizer(environment(), function(e) if (!is.null(e$inter_mutex)) e$inter_mutex$remove(), onexit = TRUE)
lock_file <- tempfile("lock")
work(sprintf("%.0e `pool$critical({})`, uncontended", n), list(
  sharedmem = loop_in_worker(uncontended),
  `sharedmem, critical <- pool$critical` = loop_in_worker(hoisted),
  `sharedmem, Lock()` = bare(function() for (k in seq_len(n)) lock({}), n = n, lock = Lock()),
  synchronicity = peer("synchronicity", function() for (k in seq_len(n)) {
    synchronicity::lock(sync_mutex)
    synchronicity::unlock(sync_mutex)
  }),
  interprocess = peer("interprocess", function() for (k in seq_len(n)) {
    inter_mutex$lock()
    inter_mutex$unlock()
  }),
  filelock = peer("filelock", function() for (k in seq_len(n)) filelock::unlock(filelock::lock(lock_file))),
  `limit: a closure with on.exit over a robust mutex` = floor_of(bare(function() for (k in seq_len(n)) bare_section({}), n = n,
                                                                      bare_section = bare_section)),
  `limit: $ of a classed environment alone` = bare(function() for (k in seq_len(n)) the_one$critical, n = n, the_one = the_one),
  `limit: an empty closure` = function() { f <- function(expr) expr; for (k in seq_len(n)) f({}) }),
  goal = "<= 80 ms", met = function(m) m[["sharedmem"]] <= 0.08, budget = size(32, 1),
  rest = paste0("`$` looks for a method, through the whole search path, before it looks into the pool: 50 to 65 ms (with `critical <- ",
                "pool$critical` before the loop that is gone); the call and its promise 40, the section in C 10, pages copied after ",
                "the fork 10"))

if (quick) n <- 2000
# 10^5 increments by several workers, in equal shares. Each contender gives the count it came to.
counted <- empty(integer(0))
in_array <- empty(1)
share <- function(workers) rep(n / workers, workers)
pool_of <- function(workers) MapReduce(np = workers)
under_critical <- function(workers) {
  pool <- pool_of(workers)
  count_up <- bare(function(m) for (k in seq_len(m)) pool$critical({ counted[] <- counted[] + 1 }), pool = pool, counted = counted)
  function() {
    counted[] <- 0
    pool$map(count_up, share(workers))
    counted[]
  }
}
by_atomic_add <- function(workers) {
  pool <- pool_of(workers)
  count_up <- bare(function(m) for (k in seq_len(m)) atomic_add(in_array, 1, 1), in_array = in_array)
  function() {
    in_array[1] <- 0
    pool$map(count_up, share(workers))
    in_array[1]
  }
}
under_mutex <- function(workers, lock, unlock, read, write) function() {
  write(0)
  parallel::mclapply(share(workers), function(m) for (k in seq_len(m)) {
    lock()
    write(read() + 1)
    unlock()
  }, mc.cores = workers)
  read()
}
read_counted <- function() counted[]
write_counted <- function(v) counted[] <- v
with_bigmemory <- function() {
  big <- bigmemory::big.matrix(1, 1, init = 0)
  under_mutex(2L, function() synchronicity::lock(sync_mutex), function() synchronicity::unlock(sync_mutex),
              function() big[1, 1], function(v) big[1, 1] <- v)
}
value <- structure(list(), class = "bench_cell")
registerS3method("[", "bench_cell", function(x, i) .Call(c_read, i))
registerS3method("[<-", "bench_cell", function(x, i, value) {
  .Call(c_write, i, value)
  x
})
right <- function(count) count == n
text <- sprintf("%.0e", n)
work(paste(text, "`critical({ n[] <- n[] + 1 })` in total, 2 workers"), list(
  sharedmem = under_critical(2L),
  `synchronicity, a shared array of ours` = peer("synchronicity", under_mutex(2L, function() synchronicity::lock(sync_mutex),
    function() synchronicity::unlock(sync_mutex), read_counted, write_counted)),
  `synchronicity, bigmemory` = if (is.null(sync_mutex)) absent("synchronicity is not installed")
    else peer("bigmemory", if (nzchar(system.file(package = "bigmemory"))) with_bigmemory()),
  `interprocess, a shared array of ours` = peer("interprocess",
                                                under_mutex(2L, function() inter_mutex$lock(), function() inter_mutex$unlock(),
    read_counted, write_counted)),
  `limit: bare S3 read and write, no lock` = floor_of(bare(function() for (k in seq_len(n)) value[1] <- value[1] + 1, n = n,
                                                           value = value)),
  `limit: the same in C, robust mutex, 2 processes` = floor_of(function() .Call(floors$increments, as.integer(n), 0L))),
  check = right, budget = size(20, 1), goal = "<= 0.25 s", met = function(m) m[["sharedmem"]] <= 0.25,
  rest = paste0("the read and the write under the lock are the first limit, one after the other in both workers; handing the lock over ",
                "and entering the section 1.2 us each time"))
work(paste(text, "`atomic_add(n, 1, 1)` in total, 2 workers"), list(
  sharedmem = by_atomic_add(2L),
  `limit: as many bare .Call, half in each` = floor_of(function() for (k in seq_len(n / 2)) .Call(c_null, k, 1)),
  `limit: the same in C, atomics, 2 processes` = floor_of(function() .Call(floors$increments, as.integer(n), 1L))),
  check = right, goal = "<= 0.08 s", met = function(m) m[["sharedmem"]] <= 0.08,
  rest = "calls of an R closure 35 ms in each worker, pages copied after the fork 20 in each, the forks 4; the additions 2")
work(paste(text, "increments in total, 16 workers"), list(
  `sharedmem, critical` = under_critical(16L),
  `sharedmem, atomic_add` = by_atomic_add(16L),
  `synchronicity, a shared array of ours` = peer("synchronicity", under_mutex(16L, function() synchronicity::lock(sync_mutex),
    function() synchronicity::unlock(sync_mutex), read_counted, write_counted))),
  check = right, budget = size(36, 1), times = size(7L, 2L), goal = "no collapse: <= 3 times that of 2 workers",
  met = function(m) m[[1L]] <= 3 * the_results$rows[[2L]]$median[1L])

n_ordered <- size(2000, 400)
ordered_by <- function(workers) {
  pool <- pool_of(workers)
  function() {
    counted[] <- 0
    pool$map(function(i) pool$ordered({ counted[] <- counted[] + (counted[] == i - 1) }), seq_len(n_ordered))
    counted[]
  }
}
work(sprintf("%.0f items, each through `ordered`", n_ordered), list(
  `sharedmem, 2 workers` = ordered_by(2L), `sharedmem, 16 workers` = ordered_by(16L)),
  check = function(count) count == n_ordered, times = size(7L, 2L))
