# What a newcomer gets wrong is told with what to do instead; the text of that is looked at by its key words only.

mistake <- function(expr) tryCatch({ expr; NULL }, error = function(e) e)

test_that("extents outside of `shape` are named as such", {
  for (e in list(mistake(empty(5, 3)), mistake(full(2, 3, 0)))) {
    expect_s3_class(e, "sharedmem_argument_error")
    expect_identical(e$arg, "dtype")
    expect_match(conditionMessage(e), "empty(c(5, 3))", fixed = TRUE)
  }
})

test_that("extents under matrix()'s names, or one too many, are told to go into `shape`", {
  for (e in list(mistake(empty(nrow = 5, ncol = 3)), mistake(empty(2, "f8", 4)), mistake(full(2, 0, nrow = 1)),
                 mistake(empty(3, type = "i4")))) {
    expect_s3_class(e, "sharedmem_argument_error")
    expect_identical(e$expected, "left out")
    expect_match(conditionMessage(e), "`shape`", fixed = TRUE)
  }
  expect_identical(mistake(full(3))$arg, "value")
})

test_that("the number of workers under another package's name is told to be np or num_threads", {
  for (name in c("ncores", "cores", "mc.cores", "workers", "n_jobs", "num_threads")) {
    e <- mistake(do.call(MapReduce, structure(list(2), names = name)))
    expect_s3_class(e, "sharedmem_argument_error")
    expect_identical(e$arg, name)
    expect_match(conditionMessage(e), "use `np`", fixed = TRUE)
  }
  for (name in c("np", "ncores", "mc.cores", "workers")) {
    e <- mistake(do.call(Parallel, structure(list(2), names = name)))
    expect_s3_class(e, "sharedmem_argument_error")
    expect_identical(e$arg, name)
    expect_match(conditionMessage(e), "num_threads = 2", fixed = TRUE)
  }
  expect_match(conditionMessage(mistake(Parallel(2))), "num_threads = 2", fixed = TRUE)
  e <- mistake(Parallel(total = 0))
  expect_identical(e[c("arg", "got")], list(arg = "total", got = "0"))
  expect_match(conditionMessage(e), "Shared(total = 0)", fixed = TRUE)
})

test_that("a variable that no clause names is told with those there are", {
  p <- Parallel(Shared(a = 1), num_threads = 1)
  e <- mistake(p$var$b)
  expect_s3_class(e, "sharedmem_argument_error")
  expect_identical(e$arg, "b")
  expect_match(conditionMessage(e), "it has a$")
})

test_that("pool options given to map() are told to belong to MapReduce(), also under other packages' names", {
  pool <- MapReduce(np = 2)
  for (name in c("retries", "on_error", "timeout", "seed", "progress", "np", "mc.cores", "ncores")) {
    e <- mistake(do.call(pool$map, c(list(function(i) i, 1:3), structure(list(2), names = name))))
    expect_s3_class(e, "sharedmem_argument_error")
    expect_identical(e[c("arg", "expected")], list(arg = name, expected = "an argument of MapReduce()"))
  }
  expect_identical(pool$map(function(i, ncores) ncores, 1:2, ncores = 3), list(3, 3))
})

test_that("lapply()'s names and order of arguments are told apart from map()'s", {
  pool <- MapReduce(np = 2)
  e <- mistake(pool$map(X = 1:3, FUN = sqrt))
  expect_s3_class(e, "sharedmem_argument_error")
  expect_match(conditionMessage(e), "pool$map(FUN, X)", fixed = TRUE)
  e <- mistake(pool$map(1:3, sqrt))
  expect_identical(e[c("arg", "got")], list(arg = "func", got = "integer of length 3"))
  expect_match(conditionMessage(e), "function first")
})

test_that("star with the wrong number of values, and reduce() of two arguments, are told with what they are called with", {
  pool <- MapReduce(np = 2)
  few <- mistake(pool$map(function(a, b) a + b, list(list(1), list(2)), star = TRUE))
  many <- mistake(pool$map(function(a, b) a + b, list(list(1, 2, 3), list(2, 3, 4)), star = TRUE))
  for (e in list(few, many)) {
    expect_s3_class(e, "WorkerException")
    expect_s3_class(e$reason, "sharedmem_argument_error")
    expect_identical(e$reason$arg, "func")
    expect_match(conditionMessage(e), "star = TRUE spreads each item")
  }
  e <- mistake(pool$map(function(i) i, 1:3, reduce = function(a, b) a + b))
  expect_s3_class(e, "sharedmem_argument_error")
  expect_match(conditionMessage(e), "Reduce()", fixed = TRUE)
})

test_that("subscripts past the end, and names where there are none, are told with what to do", {
  x <- empty(10)
  e <- mistake(x[11] <- 1)
  expect_s3_class(e, "sharedmem_index_error")
  expect_identical(e[c("position", "index", "extent")], list(position = 1, index = 11, extent = 10))
  expect_match(conditionMessage(e), "empty()", fixed = TRUE)
  for (e in list(mistake(x["a"]), mistake(x["a"] <- 1), mistake(x[["a"]]))) expect_s3_class(e, "sharedmem_index_error")
  expect_match(conditionMessage(mistake(x["a"])), "names(x) <-", fixed = TRUE)
  m <- empty(c(2, 2))
  e <- mistake(m["a", 1])
  expect_identical(e[c("index", "axis")], list(index = "a", axis = 1L))
  expect_match(conditionMessage(e), "dimnames(x) <-", fixed = TRUE)
  named <- copy(c(a = 1))
  expect_identical(mistake(named["b"] <- 1)$index, "b")
})

test_that("components that NumPy's arrays have are there, and others are told with what to write", {
  x <- empty(c(2, 3), "i4")
  expect_identical(list(x$shape, x$dtype, x$size), list(c(2, 3), "i4", 6L))
  for (e in list(mistake(x$a), mistake(x$a <- 1))) {
    expect_s3_class(e, "sharedmem_argument_error")
    expect_match(conditionMessage(e), "dim(x)", fixed = TRUE)
  }
})

test_that("C code of R that asks for the elements is told to be given x[]", {
  x <- copy(c(1.5, 2))
  flag <- copy(TRUE)
  for (e in list(mistake(for (i in x) i), mistake(if (flag) 1), mistake(while (flag) break), mistake(length(x) <- 3))) {
    expect_s3_class(e, "sharedmem_elements_error")
    expect_match(conditionMessage(e), "x[]", fixed = TRUE)
  }
  m <- empty(c(2, 3))
  for (f in list(rowSums, colSums, rowMeans, colMeans)) {
    e <- mistake(f(m))
    expect_s3_class(e, "sharedmem_argument_error")
    expect_identical(e$arg, "x")
    expect_match(conditionMessage(e), "shared_view(x)", fixed = TRUE)
  }
})

test_that("a formula takes shared arrays, and matrix products do in every version of R", {
  v <- c(2, 1, 4, 3, 7)
  w <- c(1, 2, 3, 4, 5.5)
  x <- copy(v)
  y <- copy(w)
  expect_equal(coef(lm(y ~ x)), c("(Intercept)" = coef(lm(w ~ v))[[1]], x = coef(lm(w ~ v))[[2]]))
  m <- copy(matrix(v[1:4], 2))
  expect_identical(m %*% m, m[] %*% m[])
  expect_identical(1:2 %*% m, 1:2 %*% m[])
  expect_identical(crossprod(m), crossprod(m[]))
  expect_identical(crossprod(m, 1:2), crossprod(m[], 1:2))
  expect_identical(tcrossprod(m, m[]), tcrossprod(m[]))
})

test_that("what has the class of a shared array alone can be given names and extents", {
  fake <- structure(c(3, 1, 2, 4), class = "shared_array")
  names(fake) <- letters[1:4]
  expect_identical(names(unclass(fake)), letters[1:4])
  dim(fake) <- c(2, 2)
  dimnames(fake) <- list(NULL, c("a", "b"))
  expect_identical(unclass(fake), matrix(c(3, 1, 2, 4), 2, dimnames = list(NULL, c("a", "b"))))
  expect_identical(copy(fake)[], unclass(fake))
})

test_that("copy() of what shared memory cannot keep says how to drop it", {
  e <- mistake(copy(ts(1:10, start = 2000)))
  expect_s3_class(e, "sharedmem_argument_error")
  expect_identical(e[c("arg", "got")], list(arg = "a", got = "one with attribute 'tsp'"))
  expect_match(conditionMessage(e), "copy(as.vector(a))", fixed = TRUE)
  expect_match(conditionMessage(mistake(copy(table(1:2)))), "copy(unclass(a))", fixed = TRUE)
})

test_that("methods of other pools are told with what is in their place, and not offered by completion", {
  pool <- MapReduce(np = 2)
  for (method in c("close", "terminate", "join", "shutdown", "starmap", "imap", "imap_unordered", "lapply", "apply", "map_async",
                   "apply_async", "submit")) {
    e <- mistake(pool[[method]](1))
    expect_s3_class(e, "sharedmem_misuse_error")
    expect_identical(e$method, method)
  }
  expect_setequal(utils:::.DollarNames(pool, ""), c("map", "critical", "ordered", "local", "tls", "np", "backend", "options", "trace"))
  expect_error(with(MapReduce(), { 1 }), class = "sharedmem_misuse_error")
})

test_that("a trace that is not there says how to get one", {
  for (pool in list(MapReduce(np = 2), MapReduce(np = 2, trace = TRUE))) {
    expect_s3_class(pool$trace, "sharedmem_no_trace")
    for (f in list(plot, summary, as.data.frame, function(x) write_trace(x, tempfile())))
      expect_error(f(pool$trace), class = "sharedmem_misuse_error")
    expect_error(plot(pool), class = "sharedmem_misuse_error")
    expect_error(summary(pool), class = "sharedmem_misuse_error")
    expect_output(print(pool$trace), if (pool$options$trace) "no map has run" else "trace = TRUE")
  }
})

test_that("a failure names the item itself: its name and its value", {
  pool <- MapReduce(np = 2)
  bad <- function(item) stop("cannot read")
  label <- function(sequence, ...) mistake(MapReduce(np = 2, ...)$map(bad, sequence[1]))$label
  expect_identical(label(list("/data/a.csv")), "\"/data/a.csv\"")
  expect_identical(label(c(first = "a.csv")), "first = \"a.csv\"")
  expect_identical(label(split(1:4, c("x", "x", "y", "y"))), "x")
  expect_identical(label(2.5), "2.5")
  expect_identical(label(as.Date("2024-02-29")), "2024-02-29")
  expect_identical(label(factor("low")), "low")
  expect_identical(label(1L), NA_character_)
  expect_identical(label(list(NULL)), NA_character_)
  expect_identical(mistake(MapReduce(np = 0)$map(bad, "a.csv"))$label, "\"a.csv\"")
  e <- mistake(pool$map(bad, "a.csv"))
  expect_match(conditionMessage(e), "item 1 (\"a.csv\")", fixed = TRUE)
  killed <- mistake(pool$map(function(item) tools::pskill(Sys.getpid(), 9), "a.csv"))
  expect_identical(killed$label, "\"a.csv\"")
  expect_match(conditionMessage(killed), "a.csv", fixed = TRUE)
  late <- mistake(MapReduce(np = 1, timeout = 0.2)$map(function(item) Sys.sleep(20), "a.csv"))
  expect_identical(late$label, "\"a.csv\"")
  collected <- MapReduce(np = 2, on_error = "collect")$map(bad, c("a.csv", "b.csv"))
  expect_identical(vapply(collected, `[[`, "", "label"), c("\"a.csv\"", "\"b.csv\""))
})

test_that("the method of the user's for `[[` is not called for a label", {
  calls <- 0 # in this process: the worker's are its own
  registerS3method("[[", "counted_items", function(x, i) { calls <<- calls + 1; i }, envir = baseenv())
  sequence <- structure(list(1, 2), class = "counted_items")
  e <- mistake(MapReduce(np = 1)$map(function(i) stop("bad"), sequence))
  expect_identical(e$label, NA_character_)
  expect_identical(calls, 0)
})

test_that("the error of a background call speaks of no item", {
  e <- mistake(background(function() stop("bad"))$wait())
  expect_s3_class(e, "WorkerException")
  expect_true(is.na(e$item))
  expect_no_match(conditionMessage(e), "item")
})

test_that("an error that ends a map says where the worker's calls are", {
  inner <- function(i) stop("bad")
  e <- mistake(MapReduce(np = 2)$map(function(i) inner(i), 1:3))
  expect_match(conditionMessage(e), "last_error()", fixed = TRUE)
  expect_match(last_error()$traceback, "^inner", all = FALSE)
  e <- mistake(MapReduce(np = 2)$map(function(i) MapReduce(np = 2)$map(inner, 1:3), 1:2))
  expect_length(gregexpr("last_error()", conditionMessage(e), fixed = TRUE)[[1]], 1)
})

test_that("?sharedmem_error has every class of condition that the sources raise", {
  top <- file.path("..", "..")
  skip_if_not(file.exists(file.path(top, "README.md")) && dir.exists(file.path(top, "src")), "not in a checkout")
  files <- list.files(file.path(top, c("R", "src")), "[.][Rch]$", full.names = TRUE)
  raised <- unlist(lapply(files, function(f) {
    text <- readLines(f, warn = FALSE)
    regmatches(text, gregexpr("\"sharedmem_[a-z]+_(error|warning|message)\"", text))
  }))
  page <- readLines(file.path(top, "man", "sharedmem_error.Rd"))
  named <- sub("^.alias[{](.*)[}]$", "\\1", grep("^.alias", page, value = TRUE))
  expect_gt(length(raised), 50)
  expect_identical(setdiff(gsub("\"", "", raised), named), character())
})

test_that("matrix products of other packages' classes stay theirs, in whatever order they are attached", {
  skip_if_not_installed("Matrix")
  for (first in list(quote({ library(Matrix); library(sharedmem) }), quote({ library(sharedmem); library(Matrix) }))) {
    r <- run_script(bquote({
      suppressPackageStartupMessages(.(first))
      m <- Matrix(c(1, 0, 0, 2), 2, sparse = TRUE)
      answer(list(class(crossprod(m)), class(m %*% m), as.matrix(tcrossprod(m)), crossprod(1:2)))
    }), package = FALSE)
    expect_script_ok(r)
    expect_identical(attr(r$value[[1L]], "package"), "Matrix")
    expect_identical(attr(r$value[[2L]], "package"), "Matrix")
    expect_equal(r$value[[3L]], diag(c(1, 4)), ignore_attr = TRUE)
    expect_identical(r$value[[4L]], matrix(5))
  }
})

test_that("a section of a pool whose map does not run is told so", {
  other <- MapReduce(np = 1)
  e <- mistake(MapReduce(np = 1)$map(function(i) other$critical(i), 1))
  expect_match(conditionMessage(e), "map of its pool", fixed = TRUE)
})

test_that("C code that asks for elements is named, and a function that mentions identical() gets no bytes", {
  x <- copy(c(1, 2, 3))
  expect_match(conditionMessage(mistake(cat(x))), "to cat()", fixed = TRUE)
  expect_no_match(conditionMessage(mistake(for (i in x) i)), "to [a-z_]+\\(\\)$")
  expect_true(identical(x, copy(x[])))
  skip_if_not_installed("data.table")
  d <- as_shared(data.frame(k = 1:3))
  expect_s3_class(mistake(data.table::rbindlist(list(d, d))), "sharedmem_elements_error")
})

test_that("a number for `seed`, and `cores` for foreach, are told what to write", {
  expect_match(conditionMessage(mistake(MapReduce(seed = 42))), "set.seed()", fixed = TRUE)
  skip_if_not_installed("foreach")
  expect_match(conditionMessage(mistake(registerDoSharedmem(cores = 2))), "`np`", fixed = TRUE)
})

test_that("what came for a function is told how to become one", {
  pool <- MapReduce(np = 2)
  said <- function(expr) conditionMessage(mistake(expr))
  expect_match(said(pool$map("sqrt", 1:3)), "match.fun(\"sqrt\")", fixed = TRUE)
  expect_match(said(pool$map(~ .x, 1:3)), "function(x)", fixed = TRUE)
  expect_match(said(background(1 + 1)), "background(function() ...)", fixed = TRUE)
  expect_match(said(pool$map(function(i, k) i + k, 1:3, 5)), "k = 5", fixed = TRUE)
})

test_that("the calls of a map that failed inside an item end at that map", {
  for (inner in list(MapReduce(np = 2), MapReduce(np = 0), MapReduce(ThreadBackend, np = 2))) {
    e <- mistake(MapReduce(np = 2)$map(function(i) inner$map(function(j) stop("inner"), 1:2), 1))
    expect_match(e$traceback[length(e$traceback)], "$map(function(j)", fixed = TRUE)
  }
  expect_match(conditionMessage(mistake(MapReduce(np = 2)$map(function(i) tools::pskill(Sys.getpid(), 9), 1))),
               "SIGKILL) while it worked on item 1; ", fixed = TRUE)
})
