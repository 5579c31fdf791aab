# Handles in streams: values where the user saves, descriptors on the way to another process.

test_that("saveRDS() and save() keep the values, in any later session, without library()", {
  file <- tempfile()
  on.exit(unlink(file))
  result <- run_script({
    named <- copy(c(a = 1, b = 2))
    attr(named, "unit") <- "m"
    saveRDS(list(copy(matrix(1:6, 2, dimnames = list(c("u", "v"), NULL))), named,
                 copy(factor(c("x", "y"))), copy(c("p", NA)), full(1e5, 3, "f4"),
                 full(NULL, 4), copy(c(TRUE, NA)), empty(0)), file)
  }, vars = list(file = file))
  expect_identical(result$status, 0L)
  result <- run_script({
    l <- readRDS(file)
    l[[2]][1] <- 9
    answer(list(lapply(l, function(x) x[]), attr(l[[2]], "unit"), class(l[[1]])))
  }, vars = list(file = file), package = FALSE)
  expect_identical(result$value, list(list(matrix(1:6, 2, dimnames = list(c("u", "v"), NULL)), c(a = 9, b = 2),
                                           factor(c("x", "y")), c("p", NA),
                                           rep(3, 1e5), 4, c(TRUE, NA), numeric()), "m", "shared_array"))
})

test_that("what was saved is what it was, where the array lives on and has changed", {
  x <- full(100, 1)
  file <- tempfile()
  on.exit(unlink(file))
  save(x, file = file)
  x[2] <- 7
  old <- local({ load(file); x })
  expect_identical(old[], rep(1, 100))
  old[3] <- 5
  expect_identical(x[3], 1)
})

test_that("serialize() carries the handle, and values where the option says so", {
  x <- full(100, 1)
  y <- unserialize(serialize(x, NULL))
  y[1] <- 2
  expect_identical(x[1], 2)
  before <- options(sharedmem.serialize = "values")
  on.exit(options(before))
  z <- unserialize(serialize(x, NULL))
  z[1] <- 3
  expect_identical(x[1], 2)
})

test_that("a damaged state is refused by class", {
  state <- list(values = 1L, dtype = "f8", shape = 2, vector = TRUE, meta = NULL, endian = .Platform$endian, bytes = raw(16))
  from <- sharedmem:::handle_from_state
  expect_identical(from(state)[], c(0, 0))
  for (bad in list(list(bytes = raw(3)), list(values = 2L), list(vector = NA), list(meta = list(names = "a")),
                   list(meta = list(other = "a")), list(endian = "other")))
    expect_error(from(utils::modifyList(state, bad)), class = "sharedmem_unattached_error")
})

test_that("what a lazy-load data base and knitr's cache keep are values, what callr sends is the handle", {
  x <- full(1000, 1)
  base <- tempfile()
  e <- new.env()
  e$x <- x
  tools:::makeLazyLoadDB(e, base)
  db <- new.env()
  lazyLoad(base, db)
  x[1] <- 2
  expect_identical(db$x[1], 1)
  unlink(paste0(base, c(".rdb", ".rdx")))
  skip_if_not_installed("callr")
  callr::r(function(x, v) x[2] <- v[1] + 1, list(x, shared_view(x)))
  expect_identical(x[1:2], c(2, 3))
  skip_if_not_installed("rlang")
  before <- rlang::hash(shared_view(x))
  x[3] <- 5
  expect_true(before != rlang::hash(shared_view(x)))
})

test_that("a cached chunk of a document keeps the values", {
  skip_if_not_installed("knitr")
  folder <- tempfile()
  dir.create(folder)
  on.exit(unlink(folder, recursive = TRUE))
  writeLines(c("```{r one, cache=TRUE}", "x <- sharedmem::full(5, 3)", "```", "```{r two}", "x[2] <- 4", "cat(x[])", "```"),
             file.path(folder, "a.Rmd"))
  knit <- function() run_script({
    setwd(folder)
    knitr::knit("a.Rmd", quiet = TRUE)
    answer(grep("3 4 3", readLines("a.md"), value = TRUE))
  }, vars = list(folder = folder))
  for (time in 1:2) { # the second one finds the cache of another process
    r <- knit()
    expect_script_ok(r)
    expect_match(r$value, "3 4 3 3 3")
  }
})

test_that("text keeps its encoding in a file, and arrays made like it take it", {
  latin <- c("caf\xe9", "a", NA)
  Encoding(latin) <- "latin1"
  bytes <- "\xff\xfe"
  Encoding(bytes) <- "bytes"
  file <- tempfile()
  for (v in list(latin, bytes, c(latin, "\u20ac"), "\u00e9")) {
    saveRDS(copy(v), file)
    x <- readRDS(file)
    expect_identical(x[], v)
    expect_identical(Encoding(x[]), Encoding(v))
    x[1] <- v[1]
    y <- empty_like(x)
    y[] <- v
    expect_identical(y[], v)
  }
  unlink(file)
})
