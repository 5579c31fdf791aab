# Makes man/figures/timeline.png: the time lines of four real maps on 4 workers. The items sleep instead of
# computing, so that the picture is the same on a busy machine.
#
#   Rscript tools/timeline.R [FILE]

library(sharedmem)
file <- c(commandArgs(TRUE), "man/figures/timeline.png")[1L]
dir.create(dirname(file), showWarnings = FALSE, recursive = TRUE)

set.seed(20)
traced <- function(f, items) {
  pool <- MapReduce(np = 4, trace = TRUE, seed = FALSE)
  pool$map(function(i) f(i, pool), items)
  pool$trace
}
traces <- list(
  "balanced" = traced(function(s, pool) Sys.sleep(s), stats::runif(80, 0.010, 0.014)),
  "unbalanced: one long item comes last" = traced(function(s, pool) Sys.sleep(s), c(stats::runif(60, 0.008, 0.012), 0.15)),
  "lock-bound: half of each item under critical()" = traced(function(s, pool) {
    Sys.sleep(s)
    pool$critical(Sys.sleep(s))
  }, stats::runif(40, 0.006, 0.010)),
  "ordered(): quick items wait for slow ones before them" = traced(function(s, pool) {
    Sys.sleep(s)
    pool$ordered(Sys.sleep(0.001))
  }, stats::rexp(60, 1 / 0.016)))
for (trace in traces) print(summary(trace))

grDevices::png(file, 1400, 880, res = 110, type = if (capabilities("cairo")) "cairo" else getOption("bitmapType"))
graphics::par(mfrow = c(2, 2))
for (title in names(traces)) plot(traces[[title]], main = title)
invisible(grDevices::dev.off())
