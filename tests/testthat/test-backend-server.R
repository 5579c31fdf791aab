# Maps by the fork server; each test in a session of its own. More in test-fork-server.R.

test_that("large arguments and items go to a session whose workspace defines classes", {
  value <- served({
    setClass("Point", representation(x = "numeric"))
    pool <- MapReduce(ServerBackend, np = 2)
    v <- runif(2e5)
    by_argument <- pool$map(function(i, w) new("Point", x = w[i])@x, 1:2, w = v)
    by_item <- pool$map(function(w) sum(w), list(v, v))
    answer(list(identical(by_argument, list(v[1], v[2])), identical(by_item, list(sum(v), sum(v)))))
  })
  expect_identical(value, list(TRUE, TRUE))
})

test_that("a large factor of the workspace arrives", {
  value <- served({
    f <- factor(rep(c("b", "a", NA), 4e5), levels = c("b", "a"))
    d <- data.frame(f = f, o = factor(f, ordered = TRUE), l = rep(c(TRUE, NA), 6e5))
    pool <- MapReduce(ServerBackend, np = 2)
    answer(list(pool$map(function(i) list(levels(f), as.character(f[1:3])), 1)[[1]],
                identical(pool$map(function(i) d[1:4, ], 1)[[1]], d[1:4, ])))
  })
  expect_identical(value, list(list(c("b", "a"), c("b", "a", NA)), TRUE))
})

test_that("variables that share an environment share it in a worker, and what the worker has assigned stays", {
  value <- served({
    made <- local({ n <- 0; list(inc = function() n <<- n + 1, get = function() n) })
    inc <- made$inc
    get_n <- made$get
    here <- new.env()
    here$x <- 1
    there <- here
    held <- list(e = here)
    alone <- new.env()
    beside <- list2env(list(x = 7))
    stays <- list(beside, file(tempfile(), "w")) # cannot go, and does not keep from going what it shares an environment with
    pool <- MapReduce(ServerBackend, np = 2)
    answer(list(pool$map(function(i) { inc(); inc(); get_n() }, 1:2),
                pool$map(function(i) { get_n <<- function() "own"; inc(); get_n() }, 1),
                pool$map(function(i) { here$x <- 5; c(there$x, held$e$x) }, 1),
                pool$map(function(i) c(identical(here, there), identical(here, alone)), 1),
                pool$map(function(i) beside$x, 1)))
  })
  expect_identical(value, list(list(2, 2), list("own"), list(c(5, 5)), list(c(TRUE, FALSE)), list(7)))
})

test_that("a function that was called without an optional argument uses the server", {
  value <- served({
    options(sharedmem.fork = FALSE)
    by_map <- function(x, w) MapReduce(np = 2)$map(function(i) if (i > 5) w else x * i, 1:2)
    by_background <- function(x, w) background(function() x)$wait()
    by_region <- function(x, w) { p <- Parallel(Reduction("+", s = 0), num_threads = 2); with(p, p$var$s <- x); p$var$s }
    answer(suppressMessages(list(by_map(2), by_background(3), by_region(4))))
  })
  expect_identical(value, list(list(2, 4), 3, 8))
})
