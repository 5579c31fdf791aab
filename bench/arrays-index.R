# Reading and writing elements of arrays: loops over single ones, blocks, strides, random positions, sums.
#
#   Rscript bench/arrays-index.R [--quick]
#
# Prints a table of medians in milliseconds. Contenders take turns, round after round, so that a busy machine is busy for
# all; base R, and bigmemory and ff where they are installed. "S3 floor" is a method that
# gives back its index: what R itself costs for a loop over any classed object on this machine.

library(sharedmem)
quick <- "--quick" %in% commandArgs(TRUE)
rounds <- if (quick) 3L else 11L
n <- if (quick) 1e6 else 5e6
loops <- 1e5

values <- stats::rnorm(n)
shared <- copy(values)
`[.bench_floor` <- compiler::cmpfun(function(x, i, ...) i)

contenders <- list(`base R` = values, sharedmem = shared, `S3 floor` = structure(list(), class = "bench_floor"))
if (requireNamespace("bigmemory", quietly = TRUE)) {
  big <- bigmemory::big.matrix(n, 1, init = 0)
  big[, 1] <- values
  contenders$bigmemory <- big
}
if (requireNamespace("ff", quietly = TRUE)) contenders$ff <- ff::as.ff(values)

block <- as.integer(n / 5)
scattered <- sample.int(n, block)
strided <- seq(1, n, by = 5)
new_block <- stats::rnorm(block)
at <- function(x, i) if (inherits(x, "big.matrix")) x[i, 1] else x[i]
works <- list(
  `1e5 element reads` = function(x) if (inherits(x, "big.matrix")) for (k in seq_len(loops)) x[7, 1] else for (k in seq_len(loops)) x[7],
  `1e5 element writes` = function(x) if (inherits(x, "big.matrix")) for (k in seq_len(loops)) x[7, 1] <- 2 else { x[1] <- 2; for (k in seq_len(loops)) x[7] <- 2 },
  `50 block reads` = function(x) for (k in 1:50) at(x, 11:(block + 10L)),
  `50 block writes` = function(x) if (inherits(x, "big.matrix")) for (k in 1:50) x[11:(block + 10L), 1] <- new_block
                                  else for (k in 1:50) x[11:(block + 10L)] <- new_block,
  `strided read` = function(x) at(x, strided),
  `random read` = function(x) at(x, scattered),
  `fill with one value` = function(x) if (inherits(x, "big.matrix")) x[1:block, 1] <- 1 else x[1:block] <- 1,
  `1e5 atomic_add()` = function(x) if (is_shared(x)) for (k in seq_len(loops)) atomic_add(x, 7, 1))

works <- lapply(works, compiler::cmpfun)
seconds <- array(NA_real_, c(length(works), length(contenders), rounds), list(names(works), names(contenders), NULL))
for (round in 0:rounds) for (w in names(works)) for (who in sample(names(contenders))) {
  if (who == "S3 floor" && w != "1e5 element reads") next
  if (who %in% c("bigmemory", "ff") && startsWith(w, "1e5") && round != 1L) next # seconds each: once is enough
  invisible(gc())
  start <- Sys.time()
  works[[w]](contenders[[who]])
  if (round > 0L) seconds[w, who, round] <- as.double(Sys.time() - start, units = "secs")
}
table <- 1000 * apply(seconds, c(1, 2), stats::median, na.rm = TRUE)
table["1e5 atomic_add()", colnames(table) != "sharedmem"] <- NA

cat(sprintf("R %s, vectors of %.0f doubles, blocks of %d; milliseconds, median of %d\n\n", getRversion(), n, block, rounds))
print(round(table, 2), na.print = "-")

sum_n <- if (quick) 1e7 else 1e8
big_values <- numeric(sum_n)
big_shared <- empty(sum_n)
sums <- replicate(rounds, c(
  `base R` = system.time(sum(big_values))[["elapsed"]],
  sharedmem = system.time(sum(big_shared))[["elapsed"]],
  `sum(shared_view(x))` = system.time(sum(shared_view(big_shared)))[["elapsed"]]))
cat(sprintf("\nsum of %.0e doubles\n\n", sum_n))
print(round(1000 * apply(sums, 1, stats::median), 1))
