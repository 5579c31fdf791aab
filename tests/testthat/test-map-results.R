test_that("results of every kind arrive as they were", {
  pool <- MapReduce(np = 2)
  env <- new.env()
  env$self <- env
  make <- list(function() NULL, function() simpleError("an object"), function() function(x) x + 1,
               function() factor(c("a", "b")), function() data.frame(x = 1:3, y = letters[1:3]),
               function() as.character(1:1e6), function() raw(0), function() quote(a + b), function() as.name("zz"),
               function() c(NA, NaN, -0, 5e-324), function() c(NA_character_, "", "\u00e9"), function() list(),
               function() globalenv(), function() asNamespace("stats"), function() sum, function() 1:10,
               function() structure(1, class = "odd", attr = list(2)), function() try(stop("x"), silent = TRUE),
               function() expression(a, b), function() as.POSIXlt(0, origin = "1970-01-01", tz = "UTC"))
  r <- pool$map(function(f) f(), make)
  expect_identical(lapply(r[-3], function(v) v), lapply(make[-3], function(f) f()))
  expect_identical(r[[3]](1), 2)
  back <- pool$map(function(i) { env$i <- i; env }, 1:2)
  expect_identical(lapply(back, function(e) e$i), list(1L, 2L))
  expect_identical(back[[1]]$self, back[[1]])
})

test_that("results of sizes around every limit of the channel arrive whole", {
  pool <- MapReduce(np = 2)
  n <- unique(as.integer(c(0, outer(c(-1, 0, 1), 2^(6:20), "+"))))
  n <- c(n, as.integer(131072 - (0:140)), as.integer(262144 - 64 + 0:80))
  value <- function(k) as.raw((seq_len(k) * 31L + k) %% 256L)
  r <- pool$map(value, n)
  expect_true(identical(r, lapply(n, value)))
  r <- pool$map(function(k) strrep("x", k), n)
  expect_identical(vapply(r, nchar, 0L), n)
})

test_that("100000 tiny results and many large ones arrive, in bounded time and memory", {
  pool <- MapReduce(np = 2)
  expect_identical(unlist(pool$map(function(i) i, 1:1e5)), 1:100000)
  sizes <- 0
  pool$map(function(i) numeric(2^19) + i, 1:60, reduce = function(x) { sizes <<- sizes + length(x); stopifnot(x[1] == x[length(x)]); NULL })
  expect_identical(sizes, 60 * 2^19)
})

test_that("results past 2 GiB arrive", {
  skip_if(!nzchar(Sys.getenv("SHAREDMEM_TEST_LARGE")), "SHAREDMEM_TEST_LARGE is not set")
  pool <- MapReduce(np = 1)
  r <- pool$map(function(i) { x <- raw(2^31 + 11); x[c(1, 2^31 + 11)] <- as.raw(c(7, 9)); x }, 1)[[1]]
  expect_identical(length(r), 2^31 + 11)
  expect_identical(r[c(1, 2, 2^31 + 11)], as.raw(c(7, 0, 9)))
  rm(r)
  r <- pool$map(function(i) { x <- numeric(3 * 2^27); x[3 * 2^27] <- 5; x }, 1)[[1]]
  expect_identical(c(length(r), r[3 * 2^27]), c(3 * 2^27, 5))
})
