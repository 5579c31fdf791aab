# The same work through other packages' front doors: foreach's %dopar%, future_lapply() and mclapply(), each on the back ends that fork
# and on ours. A back end is registered before the clock starts.

section("Through other packages' doors", c(
  "`%dopar%` of foreach on doParallel's and doMC's forks and on `registerDoSharedmem()`; `future_lapply()` on",
  "`plan(multicore)` and on `plan(sharedmem::sharedmem)` (future 1.40 or later); `mclapply()` of parallel and ours. Two workers each."))

timed <- function(register, run) function() {
  register()
  start <- now()
  value <- run()
  own_time(now() - start, value)
}

# `f` finds what it needs by itself (bare()).
loops <- function(x, f) {
  `%dopar%` <- foreach::`%dopar%`
  run <- function() foreach::foreach(i = x) %dopar% f(i)
  list(`sharedmem, %dopar%` = timed(function() sharedmem::registerDoSharedmem(2), run),
       `doParallel, %dopar%` = peer("doParallel", timed(function() doParallel::registerDoParallel(cores = 2), run)),
       `doMC, %dopar%` = peer("doMC", timed(function() doMC::registerDoMC(2), run)))
}

futures <- function(x, f) {
  run <- function() future.apply::future_lapply(x, f, future.seed = NULL)
  if (utils::packageVersion("future") < "1.40.0") return(list(`sharedmem, future_lapply` = absent("future is older than 1.40.0")))
  list(`sharedmem, future_lapply` = timed(function() future::plan(sharedmem::sharedmem, workers = 2), run),
       `multicore, future_lapply` = timed(function() future::plan(future::multicore, workers = 2), run))
}

lapplies <- function(x, f) list(
  `sharedmem, mclapply` = function() sharedmem::mclapply(x, f, mc.cores = 2),
  `parallel, mclapply` = function() parallel::mclapply(x, f, mc.cores = 2))

naps <- c(rep(0.05, 20), rep(0.001, 180)) * size(1, 0.3)
works <- list(
  list(title = sprintf("%.0f small items", size(1e4, 1e3)), x = seq_len(size(1e4, 1e3)), f = bare(function(i) sqrt(i)),
       check = function(r) identical(unlist(r), sqrt(seq_len(size(1e4, 1e3))))),
  list(title = sprintf("4 results of %.0f MB", size(80, 8)), x = 1:4, f = bare(function(i) numeric(n) + i, n = size(1e7, 1e6)),
       check = function(r) length(r) == 4L && r[[4L]][1L] == 4),
  list(title = "200 uneven items: 20 of 50 ms first, the rest 1 ms", x = naps, f = bare(function(s) Sys.sleep(s)),
       check = function(r) length(r) == 200L))

needs <- list(loops = "foreach", futures = "future.apply")
for (w in works) for (door in c("loops", "futures", "lapplies")) {
  if (!is.null(needs[[door]]) && !requireNamespace(needs[[door]], quietly = TRUE)) next
  contenders <- get(door)(w$x, w$f)
  work(paste0(w$title, ", ", c(loops = "%dopar%", futures = "future_lapply()", lapplies = "mclapply()")[[door]]), contenders,
       times = size(9L, 2L), budget = size(8, 1), check = w$check,
       goal = "first", met = function(m) all(m[[1L]] <= m[-1L], na.rm = TRUE))
}
if ("package:future" %in% search() || isNamespaceLoaded("future")) future::plan(future::sequential)
