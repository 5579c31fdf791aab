# Large results on their way home: wall time, processor time, and the first pass over what arrived.
#
#   Rscript bench/results.R [--quick]
#
# CPU is the master's own. A machine that is busy with other things stretches the wall time of everybody; the CPU
# time less so. bettermc and mirai are run where they are installed.

library(sharedmem)
quick <- "--quick" %in% commandArgs(TRUE)
times <- if (quick) 3L else 7L
scale <- if (quick) 0.1 else 1
pool <- MapReduce(np = 2)

contenders <- list(
  sharedmem = function(x, f) pool$map(f, x),
  mclapply = function(x, f) parallel::mclapply(x, f, mc.cores = 2),
  lapply = function(x, f) lapply(x, f))
if (requireNamespace("bettermc", quietly = TRUE))
  contenders$bettermc <- function(x, f) bettermc::mclapply(x, f, mc.cores = 2)
if (requireNamespace("mirai", quietly = TRUE)) {
  mirai::daemons(2)
  contenders$mirai <- function(x, f) mirai::mirai_map(x, f)[]
}
missing <- setdiff(c("bettermc", "mirai"), names(contenders))
if (length(missing)) cat("not installed:", paste(missing, collapse = ", "), "\n")

cpu <- function() sum(proc.time()[1:2])

measure <- function(title, x, f, pass, who = names(contenders)) {
  seconds <- array(NA_real_, c(times, length(who), 3L), list(NULL, who, c("wall", "cpu", "pass")))
  for (round in 0:times) for (w in sample(who)) {
    gc()
    a <- Sys.time()
    c0 <- cpu()
    r <- contenders[[w]](x, f)
    wall <- as.numeric(difftime(Sys.time(), a, units = "secs"))
    used <- cpu() - c0
    a <- Sys.time()
    pass(r)
    if (round > 0L) seconds[round, w, ] <- c(wall, used, as.numeric(difftime(Sys.time(), a, units = "secs")))
    r <- NULL
  }
  m <- apply(seconds, 2:3, stats::median)
  for (w in who) cat(sprintf("| %s | %s | %.3f | %.3f | %.3f | %.2f |\n", if (w == who[1L]) title else "", w, m[w, "wall"],
                             m[w, "cpu"], m[w, "pass"], m[w, "wall"] / m[1L, "wall"]))
}

# Functions find what they need in their own environment, for mirai's sake.
maker <- function(body, ...) {
  f <- function(i) NULL
  body(f) <- body
  environment(f) <- list2env(list(...), parent = globalenv())
  f
}
sums <- function(r) for (v in r) sum(v)
walk <- function(r) for (v in r) sum(nchar(v))
columns <- function(r) for (d in r) for (v in d) length(unique(v[1:100]))

n <- 25e6 * scale
cat("| work | who | wall (s) | CPU (s) | first pass (s) | wall ratio |\n| --- | --- | ---: | ---: | ---: | ---: |\n")
measure(sprintf("2 x %.0f MB of doubles", n * 8e-6), 1:2, maker(quote(numeric(n) + i), n = n), sums)
n <- 1e7 * scale
measure(sprintf("4 x %.0f MB of doubles", n * 8e-6), 1:4, maker(quote(numeric(n) + i), n = n), sums)
s <- paste0("k", seq_len(3e6 * scale))
no_mirai <- setdiff(names(contenders), "mirai")       # it would have to send them there first
measure(sprintf("2 x %.0f distinct strings", length(s)), 1:2, maker(quote(s), s = s), walk, no_mirai)
s <- rep_len(paste0("k", 1:1000), 3e6 * scale)
measure(sprintf("2 x %.0f strings, 1000 distinct", length(s)), 1:2, maker(quote(s), s = s), walk, no_mirai)
n <- 1e7 * scale
frame <- data.frame(d = seq_len(n) + 0.5, i = rev(seq_len(n)), l = rep_len(c(TRUE, NA), n), s = rep_len(paste0("v", 1:100), n),
                    f = factor(rep_len(letters, n)), t = as.Date("2026-01-01") + seq_len(n))
measure(sprintf("2 data frames, %.0f rows, 6 columns", n), 1:2, maker(quote(frame), frame = frame), columns, no_mirai)
rm(frame)
measure("200 x 1 MB of doubles", 1:200, maker(quote(numeric(131072) + i)), sums)
measure("1000 x 100 KB of doubles", 1:1000, maker(quote(numeric(12800) + i)), sums)
measure("10000 x 1 KiB of doubles", 1:10000, maker(quote(numeric(128) + i)), sums, no_mirai)
measure("100000 x list(i, \"a\")", 1:1e5, maker(quote(list(i, "a"))), function(r) length(r), no_mirai)
if ("mirai" %in% names(contenders)) mirai::daemons(0)
