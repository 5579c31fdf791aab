# The map itself: its fixed cost, its cost an item, uneven items, and the lock.

options(mc.cores = 2L)
pool <- MapReduce(np = 2)
n_items <- size(1e5, 1e4)

dynamic_peers <- function(x, f) list(
  `parallel::mclapply` = function() parallel::mclapply(x, f, mc.cores = 2),
  `foreach/doMC` = peer("doMC", function() {
    doMC::registerDoMC(2)
    `%dopar%` <- foreach::`%dopar%`
    foreach::foreach(i = x) %dopar% f(i)
  }),
  pbmcapply = peer("pbmcapply", function() pbmcapply::pbmclapply(x, f, mc.cores = 2, ignore.interactive = FALSE)),
  future.apply = peer("future.apply", function() {
    old <- future::plan("multicore", workers = 2)
    on.exit(future::plan(old))
    future.apply::future_lapply(x, f)
  }),
  BiocParallel = peer("BiocParallel", function() BiocParallel::bplapply(x, f, BPPARAM = BiocParallel::MulticoreParam(2))))

section("The map")
work("2 empty items", c(
  list(sharedmem = function() pool$map(function(i) NULL, 1:2)),
  dynamic_peers(1:2, function(i) NULL)),
  times = size(21L, 7L), check = function(r) length(r) == 2L)

identity_fun <- function(i) i
work(sprintf("%d items `function(i) i`", as.integer(n_items)), list(
  sharedmem = function() pool$map(identity_fun, seq_len(n_items)),
  lapply = function() lapply(seq_len(n_items), identity_fun),
  `mclapply, prescheduled` = function() parallel::mclapply(seq_len(n_items), identity_fun, mc.cores = 2)),
  check = function(r) identical(unlist(r), seq_len(n_items)))

few <- size(2000, 200)
work(sprintf("%d items, each scheduled by itself", as.integer(few)), list(
  sharedmem = function() pool$map(identity_fun, seq_len(few)),
  `mclapply, not prescheduled` = function() parallel::mclapply(seq_len(few), identity_fun, mc.cores = 2, mc.preschedule = FALSE)),
  times = size(5L, 2L), check = function(r) identical(unlist(r), seq_len(few)))

naps <- c(rep(0.05, 20), rep(0.001, 180))
work("200 uneven items, 20 of 50 ms first, the rest 1 ms (half of the sum: 590 ms)", c(
  list(sharedmem = function() pool$map(Sys.sleep, naps)),
  dynamic_peers(naps, Sys.sleep)["parallel::mclapply"],
  list(`mclapply, not prescheduled` = function() parallel::mclapply(naps, Sys.sleep, mc.cores = 2, mc.preschedule = FALSE))),
  times = size(7L, 3L))

n_doubles <- size(25e6, 2.5e6)
work(sprintf("2 items that return %.0f MB of doubles each", n_doubles * 8 / 1e6), c(
  list(sharedmem = function() pool$map(function(i) numeric(n_doubles) + i, 1:2)),
  dynamic_peers(1:2, function(i) numeric(n_doubles) + i)["parallel::mclapply"]),
  times = size(5L, 3L), check = function(r) length(r[[2L]]) == n_doubles && r[[2L]][n_doubles] == 2)

n_lock <- size(1e5, 1e4)
one <- MapReduce(np = 1)
work(sprintf("%d critical sections in one worker", as.integer(n_lock)), list(
  sharedmem = function() one$map(function(i) for (k in seq_len(n_lock)) one$critical(NULL), 1),
  synchronicity = peer("synchronicity", function() {
    m <- synchronicity::boost.mutex()
    for (k in seq_len(n_lock)) {
      synchronicity::lock(m)
      synchronicity::unlock(m)
    }
  })))
