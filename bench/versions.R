# Two installed versions beside each other: Rscript bench/versions.R LIBRARY_BEFORE LIBRARY_AFTER [ROUNDS]
#
# Each round runs every work once in a fresh process of either version, in turn; the table has medians and their ratio.
args <- commandArgs(TRUE)
libraries <- c(before = args[1L], after = args[2L])
rounds <- if (length(args) > 2L) as.integer(args[3L]) else 5L

work <- quote({
  suppressPackageStartupMessages(library(sharedmem))
  seconds <- function(expr, times = 1L) {
    expr <- substitute(expr)
    frame <- parent.frame()
    stats::median(vapply(seq_len(times), function(k) system.time(eval(expr, frame))[[3L]], 0))
  }
  pool <- MapReduce(np = 2)
  out <- c(
    `map: first, 4 items` = seconds(pool$map(function(i) i, 1:4)),
    `map: 2 empty items` = seconds(for (k in 1:20) pool$map(function(i) NULL, 1:2), 3L) / 20,
    `map: 2 items of 5 ms` = seconds(for (k in 1:10) pool$map(function(i) Sys.sleep(0.005), 1:2), 3L) / 10,
    `map: 10^5 items` = seconds(pool$map(function(i) i, 1:1e5), 3L),
    `map: 10^5 items, retries` = seconds(MapReduce(np = 2, retries = 1)$map(function(i) i, 1:1e5), 3L),
    `results: 10^5 list(i, "a")` = seconds(pool$map(function(i) list(i, "a"), 1:1e5), 3L),
    `results: 2 x 200 MB` = seconds(pool$map(function(i) rep(i + 0, 25e6), 1:2), 3L),
    `results: 4 x 80 MB` = seconds(pool$map(function(i) rep(i + 0, 10e6), 1:4), 3L),
    `results: 10^4 x 1 KiB` = seconds(pool$map(function(i) numeric(128), 1:1e4), 3L),
    `results: 10^6 strings` = seconds(pool$map(function(i) as.character(seq_len(5e5) + i * 1e6), 1:2), 3L),
    `lock: 10^5 uncontended` = seconds(pool$map(function(i) for (k in 1:1e5) pool$critical(NULL), 1L), 3L))
  n <- full(1, 0)
  out <- c(out, `lock: 2 x 5 10^4 increments` =
             seconds(pool$map(function(i) for (k in 1:5e4) pool$critical({ n[1] <- n[1] + 1 }), 1:2), 3L))
  p <- Parallel(Shared(a = 0), num_threads = 2)
  out <- c(out, `region: empty` = seconds(for (k in 1:10) with(p, NULL), 3L) / 10,
           `region: 10^4 barriers` = seconds(with(p, for (k in 1:1e4) p$barrier()), 3L),
           `region: dynamic loop, 10^4 items` = seconds(with(p, p$forloop(1:1e4, function(i) i, schedule = "dynamic")), 3L))
  x <- empty(1e6)
  read <- function(x) for (k in 1:1e5) x[k]
  write <- function(x) for (k in 1:1e5) x[k] <- 1
  out <- c(out, `array: 10^5 element reads` = seconds(read(x), 3L), `array: 10^5 element writes` = seconds(write(x), 3L))
  saveRDS(out, commandArgs(TRUE)[1L])
})

script <- tempfile(fileext = ".R")
writeLines(deparse(work), script)
run <- function(library) {
  file <- tempfile(fileext = ".rds")
  system2(file.path(R.home("bin"), "Rscript"), c("--vanilla", script, file), env = paste0("R_LIBS=", library))
  readRDS(file)
}
times <- lapply(seq_len(rounds), function(k) rbind(before = run(libraries[["before"]]), after = run(libraries[["after"]])))
middle <- function(version) apply(sapply(times, function(t) t[version, ]), 1L, stats::median)
before <- middle("before")
after <- middle("after")
cat(sprintf("%-36s %12s %12s %8s\n", "work", "before, ms", "after, ms", "ratio"))
cat(sprintf("%-36s %12.2f %12.2f %8.2f\n", names(before), 1e3 * before, 1e3 * after, after / before), sep = "")
