# Handles through serialize(), forks and processes; and what memory they hold.

through <- function(x) unserialize(serialize(x, NULL))
unattached <- "sharedmem_unattached_error"

test_that("a handle survives serialize() and leads to the same memory", {
  for (n in c(5, 1e5)) {
    x <- copy(as.double(seq_len(n)))
    y <- through(x)
    y[2] <- -1
    expect_identical(x[2], -1)
    rm(x)
    gc()
    expect_identical(y[2], -1)
    expect_identical(through(y)[1], 1)
  }
})

test_that("shape, dtype and attributes go along", {
  m <- copy(matrix(1:6, 2, dimnames = list(c("u", "v"), NULL)))
  expect_identical(through(m)[], m[])
  f <- copy(factor(c("x", "y")))
  expect_identical(through(f)[], f[])
  s <- empty(NULL, "c16")
  expect_identical(dtype(through(s)), "c16")
  expect_identical(through(list(a = s, b = m))$b[], m[])
})

test_that("class and attributes have R's value semantics, and every copy leads to the same memory", {
  changes <- list(
    function(z) { attr(z, "unit") <- "m"; z },
    function(z) structure(z, class = c("mine", class(z))),
    function(z) { class(z) <- c("mine", class(z)); z },
    function(z) { oldClass(z) <- c("mine", oldClass(z)); z },
    I,
    function(z) structure(z, unit = 1),
    function(z) { names(z) <- paste0("n", seq_along(z)); z },
    function(z) { attr(z, "names") <- paste0("n", seq_along(z)); z },
    function(z) { dim(z) <- c(1, length(z)); z },
    function(z) { attr(z, "dim") <- c(1, length(z)); z },
    function(z) structure(z, dim = c(length(z), 1)),
    function(z) { attributes(z) <- list(class = "shared_array", unit = 2); z })
  for (n in c(3, 1000)) for (f in changes) { # R wraps vectors of 64 elements and more
    x <- empty(n)
    y <- f(x)
    expect_identical(attributes(x), list(class = "shared_array"))
    expect_null(dim(x))
    expect_null(names(x))
    y[2] <- 9
    expect_identical(x[2], 9)
    expect_true(is_shared_array(y))
    z <- through(list(y))[[1]]
    expect_identical(attributes(z[]), attributes(y[]))
    expect_identical(class(z), class(y))
    z[3] <- 4
    expect_identical(c(x[3], y[[3]]), c(4, 4))
    expect_identical(length(y), as.integer(n))
  }
})

test_that("a dim, dimnames or names that R has set on the handle is its shape", {
  x <- copy(as.double(1:6))
  y <- structure(x, dim = 2:3, dimnames = list(c("a", "b"), NULL))
  expect_identical(y["b", ], c(2, 4, 6))
  expect_identical(dim(y), 2:3)
  z <- x
  attr(z, "names") <- letters[1:6]
  expect_identical(z["c"], c(c = 3))
  expect_identical(z[], setNames(as.double(1:6), letters[1:6]))
  y["a", 1] <- 10
  expect_identical(c(x[1], z[[1]]), c(10, 10))
})

test_that("C code that asks for the elements gets an error, never bytes", {
  x <- full(100, 3)
  one <- full(1, 3)
  asked <- list(quote(for (v in x) v), quote(unlist(list(x))), quote(if (one) 1), quote(c(1, x)), quote(unclass(x)[1]),
                quote(rawToChar(x)), quote(memCompress(x, "gzip")), quote(dput(x)), quote(length(x) <- 3))
  for (call in asked) expect_error(eval(call), class = "sharedmem_elements_error")
  result <- run_script({
    x <- full(100, 3)
    for (v in x) cat("byte\n")
  })
  expect_false(identical(result$status, 0L))
  expect_false(any(grepl("byte", result$stdout)))
})

test_that("streams of version 2 say what to do instead", {
  x <- empty(3)
  for (call in list(quote(serialize(x, NULL, version = 2)), quote(saveRDS(x, tempfile(), version = 2)),
                    quote(save(x, file = tempfile(), version = 2))))
    expect_error(eval(call), "version 3", class = "sharedmem_elements_error")
})

test_that("messages of calls that hold a handle are made as ever", {
  result <- run_script({
    x <- full(100, 3)
    fails <- function(x) stop("really")
    warns <- function(x) as.integer("a")
    message(try(do.call("fails", list(x)), silent = TRUE))
    do.call("warns", list(x))
    stopifnot(is.character(deparse(call("f", x))))
    answer("went on")
  })
  expect_identical(result$value, "went on")
  expect_match(paste(result$stderr, collapse = "\n"), "really.*NAs introduced by coercion")
})

test_that("identical() compares memory, kind and values", {
  for (n in c(1, 70, 1e5)) {
    x <- full(n, 3)
    y <- full(n, 3)
    expect_true(identical(x, x))
    expect_true(identical(x, through(x)))
    expect_true(identical(list(x, y), list(y, x)))
    other <- full(n, 3)
    other[n] <- 4
    expect_false(identical(x, other))
    expect_false(identical(list(y, x), list(x, other)))
    expect_false(identical(x, full(n, 3, "i4")))
    expect_false(identical(x, empty(c(n, 1))))
    expect_false(identical(x, rep(3, n)))
  }
})

test_that("a handle whose memory is gone says so at each use", {
  for (n in c(5, 1e5)) {
    bytes <- serialize(empty(n), NULL)
    gc()
    y <- unserialize(bytes)
    expect_true(is_shared(y))
    for (k in 1:2) {
      e <- expect_error(y[1], class = unattached)
      expect_match(conditionMessage(e), "not attached: .+")
    }
    expect_error(nbytes(y), class = unattached)
  }
})

test_that("a freed small block is not taken for the array that had it", {
  bytes <- serialize(empty(5), NULL)
  gc()
  later <- lapply(1:1000, function(i) full(5, i))
  expect_error(unserialize(bytes)[1], class = unattached)
  expect_identical(later[[1000]][1], 1000)
})

test_that("a later process finds nothing behind a descriptor", {
  file <- tempfile()
  on.exit(unlink(file))
  result <- run_script({
    writeBin(serialize(list(empty(5), empty(1e5)), NULL), file)
  }, vars = list(file = file))
  expect_identical(result$status, 0L)
  for (y in unserialize(readBin(file, "raw", 1e6))) expect_error(y[1], class = unattached)
})

test_that("another process of this machine attaches, reads and writes while the array lives", {
  skip_on_os(c("mac", "solaris"))
  small <- copy(c(1, 2, 3))
  large <- copy(as.double(1:1e5))
  cluster <- parallel::makePSOCKcluster(1)
  on.exit(parallel::stopCluster(cluster))
  path <- dirname(getNamespaceInfo("sharedmem", "path"))
  parallel::clusterCall(cluster, function(path) { .libPaths(c(path, .libPaths())); library(sharedmem); NULL }, path)
  seen <- parallel::clusterCall(cluster, function(small, large) {
    kept <<- list(small, large)
    value <- c(small[], sum(large[]))
    small[2] <- 20
    large[1e5] <- 7
    value
  }, small, large)[[1]]
  expect_identical(seen, c(1, 2, 3, sum(1:1e5)))
  expect_identical(small[], c(1, 20, 3))
  expect_identical(large[1e5], 7)

  rm(small, large)
  gc()
  later <- lapply(1:2000, function(i) full(3, -1))
  held <- parallel::clusterCall(cluster, function() c(kept[[1]][], kept[[2]][1e5]))[[1]]
  expect_identical(held, c(1, 20, 3, 7))
  made <- parallel::clusterCall(cluster, function() { mine <<- copy(c(4, 5)); mine })[[1]]
  expect_identical(made[], c(4, 5))
  made[1] <- 40
  expect_identical(parallel::clusterCall(cluster, function() mine[1])[[1]], 40)
  bytes <- serialize(later[[7]], NULL)
  rm(later)
  gc()
  gone <- parallel::clusterCall(cluster, function(bytes)
    tryCatch(unserialize(bytes)[1], error = function(e) class(e)[1L]), bytes)[[1]]
  expect_identical(gone, unattached)
})

# Where the descriptor stands in a serialized handle.
descriptor_at <- function(bytes) {
  start <- grepRaw("SHRDARR", bytes, fixed = TRUE)
  size <- readBin(bytes[start + 12:15], "integer", 1)
  seq.int(start, length.out = size)
}

test_that("handles with flipped bits give an error or the array, and nothing else", {
  result <- run_script({
    set.seed(1)
    kept <- list(full(7, 1), full(1e5, 1), copy(matrix(rep(1, 6), 2, dimnames = list(c("a", "b"), NULL))), copy(factor(rep("a", 3))))
    outcome <- character()
    for (i in 1:10000) {
      bytes <- serialize(kept[[i %% 4 + 1]], NULL, xdr = FALSE)
      at <- sample(descriptor_at(bytes), sample(3, 1))
      bytes[at] <- xor(bytes[at], as.raw(2^sample(0:7, length(at), TRUE)))
      outcome[i] <- tryCatch({
        sum(as.double(unclass(unserialize(bytes)[])))
        "array"
      }, sharedmem_unattached_error = function(e) "refused")
    }
    answer(c(table(outcome)))
  }, vars = list(descriptor_at = descriptor_at), timeout = 300)
  expect_identical(result$status, 0L)
  expect_gt(result$value[["refused"]], 9900)
})

test_that("a descriptor may hold any bytes", {
  x <- full(7, 1)
  bytes <- serialize(x, NULL, xdr = FALSE)
  place <- descriptor_at(bytes)
  set.seed(2)
  outcome <- vapply(1:2000, function(i) {
    b <- bytes
    at <- sample(place, sample(length(place), 1))
    b[at] <- as.raw(sample(0:255, length(at), TRUE))
    tryCatch({ unserialize(b)[]; "array" }, sharedmem_unattached_error = function(e) "refused")
  }, "")
  expect_gt(sum(outcome == "refused"), 1990)
  expect_identical(x[], rep(1, 7))
})

test_that("names and dimnames that do not fit the descriptor are refused", {
  with_names <- copy(matrix(1:6, 2, dimnames = list(c("a", "b"), NULL)))
  other_shape <- empty(c(3, 2), "i4")
  bytes <- serialize(with_names, NULL, xdr = FALSE)
  other <- serialize(other_shape, NULL, xdr = FALSE)
  bytes[descriptor_at(bytes)] <- other[descriptor_at(other)]
  expect_error(unserialize(bytes)[], class = unattached)
})

test_that("finalizers in a forked child leave the master's arrays alone", {
  small <- lapply(1:100, function(i) full(3, i))
  large <- full(1e5, 2)
  job <- parallel::mcparallel({
    rm(small, large)
    gc()
    mine <- lapply(1:200, function(i) full(3, -i))
    sum(vapply(mine, function(m) m[1], 0))
  })
  expect_equal(parallel::mccollect(job)[[1]], -sum(1:200))
  expect_identical(vapply(small, function(s) s[1], 0), as.double(1:100))
  expect_identical(large[1e5], 2)
})

test_that("a block freed in the master stays as it was for the child that was forked before", {
  anchor <- empty(3)
  x <- full(4, 7)
  go <- empty(NULL)
  job <- parallel::mcparallel({
    for (k in 1:3000) if (go[] == 1) break else Sys.sleep(0.01)
    x[]
  })
  rm(x)
  gc()
  others <- lapply(1:5000, function(i) full(4, -1))
  go[] <- 1
  expect_identical(parallel::mccollect(job)[[1]], rep(7, 4))
})

test_that("descriptors, mappings and bytes return to where they were", {
  before <- snapshot_resources()
  bytes <- shared_bytes()
  x <- lapply(1:2000, empty)
  y <- lapply(1:20, function(i) empty(1e5))
  z <- lapply(x[1:10], through)
  invisible(lapply(z, function(a) a[1]))
  expect_gt(shared_bytes(), bytes)
  try(full(1e5, sum), silent = TRUE)
  try(full(1e5, "a"), silent = TRUE)
  try(copy(list(1:1e5, quote(a), structure(1, class = "unknown"))), silent = TRUE)
  rm(x, y, z)
  after <- snapshot_resources()
  expect_identical(after$fds, before$fds)
  expect_identical(after$mappings, before$mappings)
  expect_identical(shared_bytes(), bytes)
})

test_that("a hundred thousand small arrays live at once", {
  fds <- length(open_fds())
  x <- lapply(seq_len(1e5), function(i) empty(10))
  for (i in c(1, 777, 1e5)) x[[i]][] <- i
  expect_identical(x[[777]][1], 777)
  expect_identical(x[[1e5]][10], 1e5)
  expect_identical(x[[2]][], numeric(10))
  expect_lt(length(open_fds()), fds + 50)
})

test_that("arrays that are dropped are collected before memory runs full", {
  result <- run_script({
    peak <- 0
    for (k in 1:300) {
      x <- empty(1e6)
      peak <- max(peak, sharedmem:::shared_bytes())
    }
    answer(peak)
  }, timeout = 120)
  expect_identical(result$status, 0L)
  expect_lt(result$value, 600e6)
})

test_that("memory that the machine has not is refused with what there is", {
  skip_if_not(file.exists("/proc/meminfo"))
  e <- expect_error(empty(1e13, "u1"), class = "sharedmem_memory_error")
  expect_identical(e$asked, 1e13)
  expect_gt(e$available, 0)
  expect_lt(e$available, 1e13)
})

test_that("more arrays than descriptors is an error that says so, and leaves R working", {
  result <- run_script({
    x <- list()
    e <- tryCatch(for (i in 1:5000) x[[i]] <- empty(1e4), error = identity)
    n <- length(x)
    x <- NULL
    gc()
    answer(list(class = class(e), n = n, after = empty(1e4)[1]))
  }, timeout = 120)
  expect_identical(result$status, 0L)
  if (result$value$n < 5000) expect_true("sharedmem_memory_error" %in% result$value$class)
  expect_identical(result$value$after, 0)
})

test_that("Ctrl-C ends an allocation and leaves nothing of it", {
  result <- run_script({
    count <- function() length(list.files("/proc/self/fd"))
    fds <- count()
    system(sprintf("(sleep 1; kill -INT %d) &", Sys.getpid()))
    got <- tryCatch(repeat { x <- empty(2^27); x <- NULL; gc() }, interrupt = function(e) "interrupted")
    gc()
    answer(list(got = got, bytes = sharedmem:::shared_bytes(), fds = count() - fds))
  }, timeout = 120)
  expect_identical(result$status, 0L)
  expect_identical(result$value, list(got = "interrupted", bytes = 0, fds = 0L))
})

test_that("arrays that workers return are collected as the master drops them", {
  pool <- MapReduce(np = 2)
  peak <- 0
  first <- pool$map(function(i) full(1e6, i), 1:80, reduce = function(x) {
    peak <<- max(peak, shared_bytes())
    x[1]
  })
  expect_equal(unlist(first), 1:80)
  expect_lt(peak, 600e6)
})

test_that("small arrays made in workers arrive, each its own", {
  pool <- MapReduce(np = 2)
  before <- snapshot_resources()
  x <- pool$map(function(i) { junk <- lapply(1:3, empty); full(3, i) }, 1:500)
  expect_identical(vapply(x, function(a) a[3], 0), as.double(1:500))
  x[[7]][1] <- -1
  expect_identical(vapply(x[-7], function(a) a[1], 0), as.double(1:500)[-7])
  rm(x)
  after <- snapshot_resources()
  expect_identical(after$fds, before$fds)
  expect_identical(after$mappings, before$mappings)
})

test_that("small arrays that the session drops meanwhile come back from the workers that were forked before", {
  e <- new.env()
  go <- empty(5000, "i4")
  for (others in list(NULL, lapply(1:3, function(i) full(10, 3)))) { # alone in its segment, or among others
    e$x <- empty(10)
    go[1] <- 0L
    r <- MapReduce(np = 2)$map(function(i) {
      if (i == 1) return(1)
      wait_until(go[1] == 1L, 20)
      e$x[1] <- 5
      list(e$x)
    }, 1:2, reduce = function(v) {
      if (is.list(v)) return(v)
      rm("x", envir = e)
      gc()
      go[1] <- 1L
      Sys.sleep(0.2) # the other worker may have ended: its result is read after what follows
      for (k in 1:2) { l <- lapply(1:20000, function(i) full(10, 7)); rm(l); gc() }
      v
    })
    expect_identical(r[[2]][[1]][], c(5, numeric(9)))
  }
})
