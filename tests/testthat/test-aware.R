# Who writes: code that was written for values never changes a shared array.

in_namespace <- function(f, package) {
  environment(f) <- asNamespace(package)
  f
}

test_that("functions of other packages work on a copy and give ordinary vectors", {
  values <- c(3, -1, 2, -5)
  x <- copy(values)
  group <- c(1, 1, 2, 2)
  calls <- list(quote(pmax(x, 0)), quote(pmin(x, 0)), quote(replace(x, 1, NA)), quote(ave(x, group)),
                quote(rapply(list(x), rev, how = "list")))
  for (call in calls) {
    got <- suppressMessages(eval(call))
    expect_identical(x[], values)
    ordinary <- eval(call, list(x = values, group = group))
    if (is.numeric(ordinary)) expect_identical(as.vector(got), as.vector(ordinary))
    expect_false(is_shared_array(got))
  }
  for (v in list(values, c(a = 3, b = -1), matrix(1:4 + 0, 2), array(1:4, 4, list(letters[1:4])), 1:4, c(NA, 2))) {
    for (f in list(function(x) pmax(x, 2), function(x) pmin(x, 2, na.rm = TRUE), function(x) pmax(1, x), function(x) pmin(x, 0, x)))
      expect_identical(suppressMessages(f(copy(v))), f(v))
  }
  foreign <- in_namespace(function(x) { x[1] <- -7; x[[2]] <- 8; x[] <- x; x }, "stats")
  got <- suppressMessages(foreign(x))
  expect_identical(x[], values)
  element <- in_namespace(function(x) { x[[2]] <- 8; x }, "stats")
  expect_identical(suppressMessages(element(x)), c(3, 8, 2, -5))
  expect_identical(x[], values)
  expect_identical(got, c(-7, 8, 2, -5))
  m <- copy(matrix(0, 2, 2))
  foreign <- in_namespace(function(x) { x[1, ] <- 1; x[[2, 2]] <- 5; x }, "utils")
  expect_identical(suppressMessages(foreign(m)), matrix(c(1, 0, 1, 5), 2))
  expect_identical(m[], matrix(0, 2, 2))
})

test_that("what has got the class alone is an ordinary vector", {
  x <- copy(c(3, -1, 2))
  y <- structure(c(3, 0, 2), class = class(x))
  expect_identical(sum(y), 5)
  expect_identical(y[2:3], c(0, 2))
  expect_identical(y[[1]], 3)
  expect_identical(length(y), 3L)
  expect_identical(y * 2, c(6, 0, 4))
  y[1] <- 9
  expect_identical(as.vector(y), c(9, 0, 2))
  expect_output(print(y), "9 0 2", fixed = TRUE)
})

test_that("items of a map find the input as it was", {
  x <- copy(c(3, -1, 2, -5))
  got <- suppressMessages(MapReduce(np = 2)$map(function(lo) sum(pmax(x, lo)), c(5, 0, -9, -9)))
  expect_identical(unlist(got), c(20, 5, -1, -1))
})

test_that("the user's code writes, also by base R's replacement functions, crates, local() and loops", {
  x <- copy(c(1, 2, 3, 4))
  result <- run_script({
    x <- copy(c(1, 2, 3, 4))
    is.na(x) <- 1
    m <- copy(matrix(0, 2, 2))
    diag(m) <- 5
    split(x, c(1, 2, 1, 2)) <- list(9, 8)
    d <- copy(data.frame(a = 1:3))
    kept <- d$a
    d[1, "a"] <- 5L
    d$a[2] <- 6L
    crate <- function(x) x[1] <- 98
    environment(crate) <- baseenv()
    crate(x)
    local(x[2] <- 77)
    lapply(3:4, function(i) x[i] <- -i)
    outer_function <- function() { inner <- function() x[[3]] <- 55; inner() }
    outer_function()
    do.call("[<-", list(x, 4, value = 44))
    answer(list(x[], m[], kept[]))
  })
  expect_identical(result$value, list(c(98, 77, 55, 44), diag(5, 2), c(5L, 6L, 3L)))
})

test_that("one message a package and session says so", {
  result <- run_script({
    said <- list()
    x <- copy(c(1, 2))
    withCallingHandlers({
      for (k in 1:3) { replace(x, 1, 0); ave(x, c(1, 1)) }
    }, sharedmem_copy_message = function(m) { said[[length(said) + 1L]] <<- m; invokeRestart("muffleMessage") })
    answer(lapply(said, function(m) list(class(m), m$package)))
  })
  expect_identical(vapply(result$value, function(m) m[[2L]], ""), c("base", "stats"))
  expect_true("sharedmem_message" %in% result$value[[1L]][[1L]])
})

test_that("a package is made aware by an option, and set_shared() always writes", {
  x <- copy(c(1, 2))
  foreign <- in_namespace(function(x) { x[1] <- -7; x }, "tools")
  expect_false(is_shared_array(suppressMessages(foreign(x))))
  before <- options(sharedmem.aware = "tools")
  on.exit(options(before))
  expect_true(is_shared_array(foreign(x)))
  expect_identical(x[1], -7)
  options(before)
  expect_false(is_shared_array(suppressMessages(foreign(x))))
  foreign <- in_namespace(function(x, set_shared) set_shared(x, 2, value = 5), "tools")
  foreign(x, set_shared)
  expect_identical(x[], c(-7, 5))
  m <- empty(c(2, 2))
  set_shared(m, 1, value = 3)
  set_shared(m, 2, 2, value = 4)
  expect_identical(m[], matrix(c(3, 0, 0, 4), 2))
  set_shared(m, j = 1, i = 2, value = 6) # as R has it, names of subscripts say nothing
  expect_identical(m[], `[<-`(matrix(c(3, 0, 0, 4), 2), j = 1, i = 2, value = 6))
  set_shared(m, value = 1)
  expect_identical(m[], matrix(1, 2, 2))
  expect_error(set_shared(1:3, 1, value = 2), class = "sharedmem_argument_error")
})

test_that("`[<-` and `[[<-` as functions take the last argument as the value", {
  x <- copy(c(1, 2, 3))
  m <- empty(c(2, 2))
  invisible(`[<-`(x, 1, 99))
  invisible(`[[<-`(x, 2, 98))
  invisible(Reduce(function(a, i) `[<-`(a, i, 0), 3, x))
  invisible(`[<-`(m, 1, 2, 7))
  invisible(`[[<-`(m, 2, 1, 8))
  expect_identical(list(x[], m[]), list(c(99, 98, 0), matrix(c(0, 8, 7, 0), 2)))
  r <- suppressMessages(lapply(list(x), `[<-`, 1, 5)) # lapply()'s own call is a package's
  expect_identical(list(r, x[1]), list(list(c(5, 98, 0)), 99))
})
