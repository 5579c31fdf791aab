# What a map costs besides its seconds: memory of its own a worker takes, the peak while results arrive, processor seconds, and who is let
# into a section when several wait.

section("Costs besides seconds", paste(
  "The rows of the first table are times; what they cost besides is in the tables below it. Private memory: what a worker has written",
  "or made since it was forked (`Private_Dirty` of its `smaps_rollup`), when it has read the session's data once. Processor seconds are",
  "those of the session and its children. Where mirai's nanonext is loaded, a map collects garbage before it forks."))

table_of <- function(title, heads, rows) {
  put("")
  put("**", title, "**")
  put("")
  put("| ", paste(heads, collapse = " | "), " |")
  put("| --- |", strrep(" ---: |", length(heads) - 1L))
  for (r in rows) put("| ", paste(r, collapse = " | "), " |")
}
kind_of <- c("sharedmem", "mclapply", "parLapplyLB, FORK", "parLapplyLB, PSOCK", "future.apply", "mirai")

# ---- private memory of a worker ----

# In a fresh session: MiB that each of two workers has for itself, the larger of the two, when it has read `mb` megabytes of the session.
private_memory <- function(who, kind, mb) {
  data <- switch(kind,
    vector = rep(1, mb * 1e6 / 8),
    strings = as.list(seq_len(mb * 1e6 / 64)), # small objects, whose headers a collection writes to
    shared = full(mb * 1e6 / 8, 1))
  f <- bare(function(i) {
    n <- if (is.list(data)) sum(vapply(data, function(x) 1, 0)) else sum(data)
    gc()
    lines <- readLines("/proc/self/smaps_rollup")
    c(n, as.numeric(gsub("[^0-9]", "", grep("^Private_Dirty", lines, value = TRUE))) / 1024)
  }, data = data)
  run <- map_contenders(1:2, f, who)[[1L]]
  if (inherits(run, "absent")) return(NA_real_)
  r <- run()
  stop_daemons()
  stopifnot(r[[1L]][1L] == length(data))
  max(r[[1L]][2L], r[[2L]][2L])
}
heaps <- list(list("a vector of 10 MB", "vector", 10), list("a vector of 1 GB", "vector", size(1000, 50)),
              list("a vector of 4 GB", "vector", size(4000, 60)), list("a list of small numbers, 1 GB", "strings", size(1000, 50)),
              list("a shared array of 1 GB", "shared", size(1000, 50)))
sends <- c("parLapplyLB, PSOCK", "mirai") # these make copies of the data, of which 4 GB would be 12
rows <- lapply(heaps, function(h) c(h[[1L]], vapply(kind_of, function(who) {
  if (who %in% sends && h[[3L]] > 1000) return("not run")
  mb <- tryCatch(in_fresh_session(private_memory, who, h[[2L]], h[[3L]]), error = function(e) NA_real_)
  if (is.na(mb)) "failed" else sprintf("%.0f", mb)
}, "")))
table_of("Private memory of a worker, MiB", c("the session holds", kind_of), rows)

# ---- peak of the session while results arrive ----

# In a fresh session: seconds, and the MiB that session and workers together have at most above what the session had at first, in units
# of the result itself.
result_peak <- function(who, n, mb) {
  f <- bare(function(i) runif(mb * 1e6 / 8), mb = mb)
  run <- map_contenders(seq_len(n), f, who)[[1L]]
  if (inherits(run, "absent")) return(NA_real_)
  peak <- start_sampler()
  r <- run()
  most <- peak()
  stopifnot(length(r) == n)
  stop_daemons()
  (most[2L] - most[1L]) * 2^20 / (n * mb * 1e6)
}
sizes <- list(c(4, size(80, 8)), c(2, size(500, 20)), c(1000, size(0.5, 0.05)))
rows <- lapply(sizes, function(s) c(sprintf("%d results of %g MB", as.integer(s[1L]), s[2L]), vapply(kind_of, function(who) {
  x <- tryCatch(in_fresh_session(result_peak, who, s[1L], s[2L]), error = function(e) NA_real_)
  if (is.na(x)) "failed" else sprintf("%.2f", x)
}, "")))
table_of("Peak of session and workers (of PSOCK and mirai the session alone), in sizes of the whole result", c("results", kind_of), rows)

# ---- processor seconds ----

tick <- as.numeric(system2("getconf", "CLK_TCK", stdout = TRUE))
# Of this process, the children it has waited for, and those that run (a FORK cluster). Daemons that are no children cannot be counted.
processor_seconds <- function() {
  of <- function(pid) {
    stat <- tryCatch(suppressWarnings(readLines(sprintf("/proc/%d/stat", pid), 1L)), error = function(e) NA_character_)
    sum(as.numeric(strsplit(sub("^.*\\) ", "", stat), " ")[[1L]][12:15]), na.rm = TRUE)
  }
  pids <- tryCatch(scan(sprintf("/proc/self/task/%d/children", Sys.getpid()), quiet = TRUE), error = function(e) numeric())
  sum(vapply(c(Sys.getpid(), pids), of, 0)) / tick
}
costs <- list()
# Contenders that note what they cost.
counted <- function(title, contenders) {
  stats::setNames(lapply(names(contenders), function(who) {
    f <- contenders[[who]]
    if (!is.function(f)) return(f)
    function() {
      before <- processor_seconds()
      start <- now()
      value <- f()
      seconds <- now() - start
      settle(known)
      costs[[title]][[who]] <<- c(costs[[title]][[who]], processor_seconds() - before)
      own_time(seconds, value)
    }
  }), names(contenders))
}
spin <- function(s) { until <- Sys.time() + s; while (Sys.time() < until) NULL }
n_nap <- size(20, 6)
jobs <- list(
  list("items that sleep, 20 x 0.1 s", bare(function(i) { Sys.sleep(0.1); i }), seq_len(n_nap)),
  list("one item computes 1 s, the other worker waits", bare(function(i) { if (i == 1) spin(1); i }, spin = spin), 1:2),
  list("10^5 small items", bare(function(i) i), seq_len(size(1e5, 1e4))))
known <- integer()
children_of <- setdiff(kind_of, c("parLapplyLB, PSOCK", "mirai"))
for (job in jobs) {
  contenders <- map_contenders(job[[3L]], job[[2L]], children_of)
  known <- children()
  work(job[[1L]], counted(job[[1L]], contenders), times = size(5L, 2L), check = function(r) length(r) == length(job[[3L]]))
}
rows <- lapply(names(costs), function(title) c(title, vapply(children_of, function(who) {
  seconds <- costs[[title]][[who]]
  if (is.null(seconds)) "" else sprintf("%.2f", stats::median(seconds[-1L]))
}, "")))
table_of("Processor seconds in all", c("work", children_of), rows)

# ---- sections: waiting, and fairness ----

# `workers` that take the section again and again for `seconds`, working 50 us in it and 50 outside: waits in microseconds (median, slowest
# hundredth, longest), entries a second, and the share of the worker that got in least often in that of the one that did most often.
fairness <- function(workers, enter, seconds) {
  busy <- function(s) { until <- as.numeric(Sys.time()) + s; while (as.numeric(Sys.time()) < until) NULL }
  pool <- MapReduce(np = workers)
  ready <- full(integer(0), 0)
  one <- bare(function(i) {
    atomic_add(ready, 1, 1)
    while (ready[] < workers) Sys.sleep(0.001)
    waits <- numeric(2e5)
    k <- 0L
    until <- as.numeric(Sys.time()) + seconds
    while ((asked <- as.numeric(Sys.time())) < until) {
      enter({ waits[k <- k + 1L] <- as.numeric(Sys.time()) - asked; busy(5e-5) })
      busy(5e-5)
    }
    waits[seq_len(k)]
  }, ready = ready, workers = workers, seconds = seconds, enter = enter(pool), busy = busy)
  r <- pool$map(one, seq_len(workers))
  waits <- unlist(r) * 1e6
  counts <- lengths(r)
  c(sprintf("%.0f", c(stats::quantile(waits, c(0.5, 0.99, 1)), sum(counts) / seconds)), sprintf("%.2f", min(counts) / max(counts)))
}
here <- environment()
mutex <- if (requireNamespace("synchronicity", quietly = TRUE)) synchronicity::boost.mutex()
inter <- if (requireNamespace("interprocess", quietly = TRUE)) interprocess::mutex()
reg.finalizer(here, function(e) if (!is.null(e$inter)) e$inter$remove(), onexit = TRUE)
path <- tempfile("lock")
ways <- list(
  `pool$critical` = function(pool) { critical <- pool$critical; function(expr) critical(expr) },
  `Lock()` = function(pool) { lock <- Lock(); function(expr) lock(expr) },
  synchronicity = if (!is.null(mutex)) function(pool)
    bare(function(expr) { synchronicity::lock(mutex); on.exit(synchronicity::unlock(mutex)); expr }, mutex = mutex),
  interprocess = if (!is.null(inter)) function(pool) bare(function(expr) { inter$lock(); on.exit(inter$unlock()); expr }, inter = inter),
  filelock = if (requireNamespace("filelock", quietly = TRUE)) function(pool)
    bare(function(expr) { l <- filelock::lock(path); on.exit(filelock::unlock(l)); expr }, path = path))
rows <- list()
for (workers in c(2, 4, 16)) for (who in names(ways)) {
  figures <- if (is.null(ways[[who]])) "not installed"
             else tryCatch(fairness(workers, ways[[who]], size(2, 0.3)), error = function(e) paste("failed:", conditionMessage(e)))
  rows <- c(rows, list(c(sprintf("%s, %d workers", who, as.integer(workers)), figures)))
}
table_of("Waiting for a section, us, and fairness: entries of the worker let in least often, in those of the one most often",
         c("section", "median", "slowest hundredth", "longest", "entries a second", "least / most"), rows)
