view_values <- list(f8 = c(1.5, NA, NaN), f4 = c(0.5, NA, -2), i1 = -1:1, i2 = 5:7, i4 = c(1L, NA, 3L), i8 = c(1, 2^40, -3), u1 = 1:3,
                    u2 = 1:3, u4 = c(0, 2^31, 7), c16 = c(1i, NA, 2), b1 = c(TRUE, NA, FALSE), raw = as.raw(1:3), S4 = c("a", NA, "\u00e9"))

test_that("a view holds the values, for every dtype", {
  for (code in names(view_values)) {
    x <- empty(3, code)
    x[] <- view_values[[code]]
    v <- shared_view(x)
    expect_identical(v, view_values[[code]], info = code)
    expect_identical(shared_view(x, 2, 3), view_values[[code]][2:3], info = code)
    expect_identical(shared_view(x, 4, 3), view_values[[code]][0], info = code)
    expect_identical(v[c(3, 1)], view_values[[code]][c(3, 1)], info = code)
    expect_identical(unserialize(serialize(v, NULL)), view_values[[code]], info = code)
    expect_identical(is.na(v), is.na(view_values[[code]]), info = code)
  }
})

test_that("a view follows the array, also after code that asks for a writable pointer", {
  x <- empty(c(200, 100))
  v <- shared_view(x)
  expect_identical(v[7], 0)
  x[7] <- 1
  expect_identical(v[7], 1)
  expect_identical(sum(rowSums(v)), 1)
  x[8] <- 2
  expect_identical(sum(v), 3)
  expect_identical(v[8], 2)
})

test_that("writing to a view, or to what was made of it, never reaches the array", {
  for (code in names(view_values)) {
    x <- empty(3, code)
    x[] <- view_values[[code]]
    v <- shared_view(x)
    y <- v
    y[1] <- y[3]
    v[3] <- v[1]
    z <- -as.numeric(1:3)
    expect_identical(x[], view_values[[code]], info = code)
  }
  x <- copy(c(3, 1, 2))
  v <- shared_view(x)
  strings <- copy(c("a", "b", "c"))
  other <- shared_view(strings)
  other[2] <- "z"
  expect_identical(list(other, strings[]), list(c("a", "z", "c"), c("a", "b", "c")))
  w <- -v
  s <- sort(v)
  v <- v + 1
  names(v) <- letters[1:3]
  f <- function(u) { u[2] <- 100; u }
  expect_identical(f(shared_view(x)), c(3, 100, 2))
  expect_identical(x[], c(3, 1, 2))
})

test_that("a view keeps its memory alive when all handles are gone", {
  x <- empty(1e5)
  x[] <- 1
  v <- shared_view(x)
  rm(x)
  for (i in 1:3) gc()
  expect_identical(sum(v), 1e5)
})

test_that("views work in lm, crossprod, sort, data.frame, apply and which", {
  m <- matrix(c(1, 2, 4, 3, 5, 7, 1, 0), 4, dimnames = list(NULL, c("a", "b")))
  x <- copy(m)
  v <- shared_view(x)
  expect_identical(dimnames(v), dimnames(m))
  expect_identical(crossprod(v), crossprod(m))
  expect_identical(v %*% t(v), m %*% t(m))
  expect_identical(rowSums(v), rowSums(m))
  expect_identical(apply(v, 2, max), apply(m, 2, max))
  expect_identical(which(v > 2), which(m > 2))
  expect_equal(coef(lm(v[, "a"] ~ v[, "b"])), coef(lm(m[, "a"] ~ m[, "b"])), ignore_attr = TRUE)
  d <- data.frame(y = shared_view(copy(c(2, 4, 6))), g = shared_view(copy(c("p", "q", "p"))))
  expect_identical(tapply(d$y, d$g, sum), tapply(c(2, 4, 6), c("p", "q", "p"), sum))
  expect_identical(sort(shared_view(copy(c("b", "a")))), c("a", "b"))
  expect_identical(match("q", d$g), 2L)
})

test_that("bad bounds are index errors, and what is no shared array an argument error", {
  x <- empty(5)
  expect_error(shared_view(x, 0, 3), class = "sharedmem_index_error")
  expect_error(shared_view(x, 2, 6), class = "sharedmem_index_error")
  expect_error(shared_view(x, 4, 2), class = "sharedmem_index_error")
  expect_error(shared_view(x, NA, 2), class = "sharedmem_argument_error")
  expect_error(shared_view(x, 1, "a"), class = "sharedmem_argument_error")
  expect_error(shared_view(1:3), class = "sharedmem_argument_error")
})

test_that("a view of a part has the names and class of the part", {
  x <- copy(c(a = 1, b = 2, c = 3))
  expect_identical(shared_view(x), c(a = 1, b = 2, c = 3))
  expect_identical(shared_view(x, 2, 3), c(b = 2, c = 3))
})

test_that("views give their private pages back", {
  skip_if_not(file.exists("/proc/self/maps"))
  x <- empty(1e5)
  maps <- function() { for (i in 1:2) gc(); length(readLines("/proc/self/maps")) }
  before <- maps()
  for (k in 1:200) rowSums(shared_view({ y <- x; dim(y) <- c(100, 1000); y }))
  expect_lt(maps() - before, 20)
})

test_that("a view of i8 past 2^53 warns, since its doubles cannot hold them", {
  x <- empty(3, "i8")
  x[2] <- 2^53
  expect_silent(shared_view(x))
  x[2] <- 2^53 + 2
  expect_warning(shared_view(x), class = "sharedmem_value_warning")
  expect_silent(shared_view(x, 3, 3))
  expect_warning(x[], class = "sharedmem_value_warning")
})

test_that("a view travels by serialize() as a handle, is saved as values, and comes from workers as values", {
  x <- full(c(2, 3), 1)
  dimnames(x) <- list(c("a", "b"), NULL)
  v <- shared_view(x)
  part <- unserialize(serialize(shared_view(x, 2, 4), NULL))
  w <- unserialize(serialize(v, NULL))
  file <- tempfile()
  on.exit(unlink(file))
  saveRDS(v, file)
  r <- MapReduce(np = 2)$map(function(i) list(v, structure(shared_view(x, 1, 2), a = 1)), 1:2)
  x[1:2] <- c(5, 6)
  expect_identical(w, x[])
  expect_identical(part, c(6, 1, 1))
  expect_identical(readRDS(file), matrix(1, 2, 3, dimnames = dimnames(x)))
  expect_identical(r[[2]], list(matrix(1, 2, 3, dimnames = dimnames(x)), structure(c(1, 1), a = 1)))
  w[3] <- 0
  expect_identical(x[3], 1)
  big <- full(1e6, 2)
  cl <- parallel::makePSOCKcluster(1)
  on.exit(parallel::stopCluster(cl), add = TRUE)
  got <- parallel::clusterCall(cl, function(v) list(sum(v), length(serialize(v, NULL))), shared_view(big))[[1]]
  expect_identical(got[[1]], 2e6)
  if (memory_is_sealed()) expect_lt(got[[2]], 1000) else expect_gt(got[[2]], 8e6) # what another process could cut off is copied
})

test_that("a view whose memory is gone says so at each use, and damaged ones are refused", {
  x <- full(10000, 1)
  bytes <- serialize(shared_view(x), NULL)
  rm(x)
  gc()
  v <- unserialize(bytes)
  expect_identical(length(v), 10000L)
  for (use in list(sum, print, rev, function(v) v[1], function(v) empty(2)[v], function(v) { v[1] <- 2 }, function(v) serialize(v, NULL)))
    expect_error(use(v), class = "sharedmem_unattached_error")
  x <- full(10, 1)
  part <- serialize(shared_view(x, 3, 5), NULL)
  stretch <- writeBin(c(2, 3), raw(), endian = "big")
  at <- which(vapply(seq_len(length(part) - 15), function(i) identical(part[i + 0:15], stretch), NA))
  expect_length(at, 1)
  for (bad in list(c(-1, 3), c(9, 3), c(NA, 3), c(2, 1e300), c(2, -1), c(Inf, NaN))) {
    part[at + 0:15] <- writeBin(bad, raw(), endian = "big")
    w <- unserialize(part)
    expect_error(if (length(w)) w[1] else stop(structure(class = c("sharedmem_unattached_error", "error", "condition"),
                                                         list(message = "", call = NULL))), class = "sharedmem_unattached_error")
  }
})

test_that("a view of a few elements comes from workers as values, also in a script", {
  r <- run_script({
    x <- copy(c(1, 2, 3))
    got <- list(MapReduce(np = 2)$map(function(i) shared_view(x), 1:2)[[2]],
                MapReduce(np = 2)$map(function(i) list(shared_view(x)), 1)[[1]][[1]],
                mclapply(1:2, function(i) shared_view(x, 2), mc.cores = 2)[[2]], background(function() shared_view(x))$wait())
    x[] <- 9
    answer(got)
  })
  expect_script_ok(r)
  expect_identical(r$value, list(c(1, 2, 3), c(1, 2, 3), c(2, 3), c(1, 2, 3)))
})
