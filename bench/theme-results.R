# Large results on their way home: wall time, the session's own processor time, and a first pass over what arrived.

section("Results", c(
  "CPU here: processor time of the session itself. First pass: reading all of what arrived, once.",
  paste0("The many small results are measured before mirai is loaded. Beside it (and all that loads nanonext) a map collects the ",
         "session's garbage before it forks, for a child that did so itself might wait for ever."),
  daemons_text), columns = c("cpu", "after"))

sums <- function(r) for (v in r) sum(v)
walk <- function(r) for (v in r) sum(nchar(v))
look <- function(v) if (is.factor(v)) tabulate(v) else if (is.character(v)) sum(nchar(v)) else sum(unclass(v), na.rm = TRUE)
columns <- function(r) for (d in r) for (v in d) look(v)
scale <- size(1, 0.04)
large <- c("sharedmem", "lapply", "mclapply", "bettermc", "mirai", if (!quick) "parLapplyLB, FORK", "mori + mclapply")

# Many small results, before anything else is loaded; the limit is R's serialize and unserialize of one worker's half.
many <- c("sharedmem", "lapply", "mclapply", "bettermc", "parLapplyLB, FORK")
half <- function(n, f) unserialize(serialize(lapply(seq_len(n / 2), f), NULL, xdr = FALSE))
is_first <- function(m) m[[1L]] <= min(m[!is_limit(names(m)) & names(m) != "lapply"], na.rm = TRUE)
n <- size(1e4, 1e3)
kib <- bare(function(i) numeric(128) + i)
work(sprintf("%.0e results of 1 KiB", n), c(map_contenders(seq_len(n), kib, many),
  list(`limit: half of them made, serialized, unserialized` = function() half(n, kib))),
  after = sums, check = function(r) length(r) == n && r[[n]][1L] == n, budget = size(18, 1),
  aside = "lapply", goal = "first", met = is_first,
  rest = paste0("pages copied and cleared after the fork 19 ms here and 7 in each worker; making and serializing 5 in each worker, ",
                "reading 9; the forks 4"))
n <- size(1e5, 1e4)
f <- bare(function(i) list(i, "a"))
work(sprintf("%.0e results `list(i, \"a\")`", n), c(map_contenders(seq_len(n), f, many),
  list(`limit: half of them made, serialized, unserialized` = function() half(n, f))),
  check = function(r) length(r) == n && identical(r[[n]], list(as.integer(n), "a")), budget = size(6, 1),
  aside = "lapply", goal = "first", met = is_first,
  rest = "three processes on two processors: 30 ms of R in each worker, 36 here, pages copied after the fork 20 in each")

n <- 25e6 * scale
work(sprintf("2 x %.0f MB of doubles", n * 8e-6), c(
  map_contenders(1:2, bare(function(i) numeric(n) + i, n = n), large),
  list(`limit: one copy into fresh pages by 2 threads` = copy_floor(16 * n), `limit: the same, huge pages` = copy_floor(16 * n, "huge"))),
  after = sums, check = function(r) length(r[[2L]]) == n && r[[2L]][n] == 2, budget = size(16, 1),
  aside = "lapply", goal = "<= 0.2 s", met = function(m) m[["sharedmem"]] <= 0.2,
  rest = paste0("the workers make two vectors each in fresh pages of 4 KiB, 150 ms (clearing 60, faults 30, arithmetic 60); the copy, ",
                "2 threads, 80; memory that was free for a second is not in huge pages, see `mem_huge.h`"))

n <- 1e7 * scale
work(sprintf("4 x %.0f MB of doubles", n * 8e-6), c(
  map_contenders(1:4, bare(function(i) numeric(n) + i, n = n), large),
  list(`limit: one copy into fresh shared pages by 2 threads` = copy_floor(32 * n, "shared"))),
  after = sums, check = function(r) length(r[[4L]]) == n && r[[4L]][n] == 4, budget = size(16, 1),
  aside = "lapply", goal = "<= 0.2 s", met = function(m) m[["sharedmem"]] <= 0.2,
  rest = "as above: making them 120 ms, the copy into memory that is kept 70")

# From here on, what is returned exists before the fork; mirai and clusters would have to send it there first.
some <- c("sharedmem", "mclapply", "bettermc", "mori + mclapply")
n <- 3e6 * scale
for (kind in c("distinct", "of 1000")) {
  s <- paste0("k", if (kind == "distinct") seq_len(n) else rep_len(1:1000, n))
  work(sprintf("2 x %.0f strings, %s", n, kind), c(
    map_contenders(1:2, bare(function(i) s, s = s), some),
    list(`limit: as many strings looked up by R in C` = if (kind == "distinct")
      floor_of(function() for (k in 1:2) .Call(floors$strings, n)))),
    after = walk, check = function(r) length(r[[2L]]) == n && r[[2L]][n] == s[n], budget = size(10, 1),
    aside = "lapply", goal = "<= 0.8 s", met = function(m) m[["sharedmem"]] <= 0.8,
    rest = "looking up and appending each string in the worker 130 ms, copying the table 15; distinct ones become R strings when asked for")
}
rm(s)

n <- 1e7 * scale
frame <- data.frame(d = seq_len(n) + 0.5, i = rev(seq_len(n)), l = rep_len(c(TRUE, NA), n), s = rep_len(paste0("v", 1:100), n),
                    f = factor(rep_len(letters, n)), t = as.Date("2026-01-01") + seq_len(n))
work(sprintf("2 data frames of %.0e rows, 6 columns", n), c(
  map_contenders(1:2, bare(function(i) frame, frame = frame), some),
  list(`limit: one copy into fresh pages by 2 threads` = copy_floor(2 * as.numeric(utils::object.size(frame))))),
  after = columns, check = function(r) nrow(r[[2L]]) == n && identical(r[[2L]]$s[n], frame$s[n]), budget = size(26, 1),
  aside = "lapply", goal = "half of the best", met = function(m) 2 * m[["sharedmem"]] <= min(m[c("mclapply", "bettermc")], na.rm = TRUE),
  rest = paste0("880 MB, more than is kept: fresh pages 250 ms; the column of strings 200 (numbers for them in the worker, R strings ",
                "here); a file for who comes second 60"))
rm(frame)

if (!quick) {
  n <- 1e4
  work("1e+04 results of 1 KiB, beside mirai", map_contenders(seq_len(n), kib, c("sharedmem", "mclapply", "mirai")), after = sums,
    check = function(r) length(r) == n && r[[n]][1L] == n, budget = 12)
  f <- bare(function(i) numeric(131072) + i)
  work("200 x 1 MB of doubles", map_contenders(1:200, f, c(many, "mirai")), after = sums, check = function(r) r[[200L]][9L] == 200,
    budget = 10)
  frameworks <- c("future.apply", "BiocParallel", "foreach/doMC", "pbmcapply")
  work("2 x 200 MB of doubles, beside frameworks", map_contenders(1:2, bare(function(i) numeric(25e6) + i), c("sharedmem", frameworks)),
    after = sums, check = function(r) r[[2L]][25e6] == 2, budget = 17)
}
