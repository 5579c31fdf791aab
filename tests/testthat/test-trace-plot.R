# Counts what is drawn, and where, through a device that writes text.
drawn <- function(trace, ..., width = 9, height = 5) {
  file <- tempfile(fileext = ".svg")
  skip_if_not(capabilities("cairo"))
  grDevices::svg(file, width = width, height = height)
  plot(trace, ...)
  grDevices::dev.off()
  on.exit(unlink(file))
  readLines(file, warn = FALSE)
}

test_that("balanced, unbalanced, lock-bound, ordered and tail-bound maps are drawn on 2, 16 and 64 workers", {
  grDevices::pdf(NULL, width = 8, height = 5)
  on.exit(grDevices::dev.off())
  for (np in c(2, 16, 64)) for (trace in synthetic_examples(np)) expect_identical(plot(trace), trace)
})

test_that("plot() leaves the graphical parameters as they were", {
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  before <- graphics::par(c("mar", "mgp", "las", "xpd"))
  plot(synthetic_examples(2)$lock)
  expect_identical(graphics::par(c("mar", "mgp", "las", "xpd")), before)
})

test_that("narrow items are drawn by columns: the drawing of 10^5 items is no larger than the page is wide", {
  n <- 1e5
  start <- (seq_len(n) - 1) / n
  trace <- sharedmem:::new_trace(raw_trace(rep(0:1, length.out = n), rep("item", n), seq_len(n), start, start + 1 / n, 2, 1), n)
  few <- length(drawn(trace))
  expect_lt(few, 10000)
})

test_that("coverage() is the exact share of each column", {
  exact <- function(e, n) vapply(seq_len(n) - 1, function(k)
    sum(pmax(0, pmin(e$end, k + 1) - pmax(e$start, k))), 0)
  set.seed(4)
  for (k in 1:50) {
    edges <- sort(runif(20, 0, 10))
    e <- data.frame(start = edges[c(TRUE, FALSE)], end = edges[c(FALSE, TRUE)])
    expect_equal(sharedmem:::coverage(e, 0, 1, 10L), exact(e, 10L))
  }
  expect_equal(sharedmem:::coverage(data.frame(start = 0, end = 10), 0, 1, 10L), rep(1, 10))
  expect_equal(sharedmem:::coverage(data.frame(start = numeric(), end = numeric()), 0, 1, 3L), c(0, 0, 0))
})

test_that("a lane whose events found no room is marked, and the title says so", {
  trace <- synthetic_examples(2)$balanced
  trace$dropped$n[1, "item"] <- 5
  trace$dropped$last[1, "item"] <- trace$elapsed
  expect_identical(sharedmem:::events_dropped(trace), 5)
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  expect_identical(plot(trace), trace)
})

test_that("bad arguments are named", {
  trace <- synthetic_trace(1, 0.01)
  expect_error(plot(trace, main = 1), class = "sharedmem_argument_error")
  expect_error(plot(trace, legend = NA), class = "sharedmem_argument_error")
  expect_error(plot(trace, xlim = c(1, 0)), class = "sharedmem_argument_error")
})

test_that("maps of few short items are drawn, whatever numbers look like as text", {
  file <- tempfile(fileext = ".pdf")
  grDevices::pdf(file)
  on.exit({ grDevices::dev.off(); unlink(file) })
  pool <- MapReduce(np = 2, trace = TRUE)
  for (n in c(1, 2, 6, 6, 6, 30)) {
    pool$map(function(i) i^2, seq_len(n))
    expect_silent(plot(pool$trace))
  }
  want <- summary(pool$trace)
  old <- options(OutDec = ",", scipen = -9)
  on.exit(options(old), add = TRUE)
  expect_silent(plot(pool$trace))
  expect_identical(summary(pool$trace)$workers, want$workers)
  for (item in 0:3) expect_match(sharedmem:::item_colours(item, 3), "^#[0-9A-F]{6}$")
})

test_that("the legend lies inside of the figure and clear of the axis title at every size", {
  trace <- synthetic_examples(4)$lock
  for (size in list(c(7, 7), c(5, 3.5), c(4.2, 4.2), c(12, 3), c(20, 9))) {
    svg <- drawn(trace, width = size[1], height = size[2])
    glyphs <- regmatches(svg, regexec("<use [^>]*x=\"([0-9.]+)\" y=\"([0-9.]+)\"", svg))
    at <- apply(do.call(rbind, glyphs[lengths(glyphs) == 3L])[, -1], 2, as.numeric) # in points
    lines <- sort(unique(at[at[, 1] > 72, 2])) # all but the label of the lanes, which stands upright
    expect_lt(max(lines), 72 * size[2] - 1)
    expect_gt(diff(utils::tail(lines, 2)), 8) # the axis title or a line of the legend, and the next
  }
})

test_that("a device that is too small says what to do", {
  file <- tempfile(fileext = ".pdf")
  grDevices::pdf(file, 1, 1)
  on.exit({ grDevices::dev.off(); unlink(file) })
  expect_error(plot(synthetic_examples(4)$lock), class = "sharedmem_misuse_error")
})

test_that("lost items, garbage collections and waits for the session are drawn, and named where they are what costs most", {
  at <- function(kind)
    sharedmem:::new_trace(raw_trace(c(0, 0, 1), c("item", kind, "item"), c(1, 1, 2), c(0, 0.1, 0), c(0.1, 1, 1), 2, 1), 2)
  file <- tempfile(fileext = ".pdf")
  grDevices::pdf(file, compress = FALSE)
  on.exit({ grDevices::dev.off(); unlink(file) })
  for (kind in c("lost", "wait_ring", "gc")) expect_silent(plot(at(kind), legend = TRUE))
  expect_output(print(summary(at("lost"))), "lost items", fixed = TRUE)
  expect_output(print(summary(at("wait_ring"))), "until it took results", fixed = TRUE)
})
