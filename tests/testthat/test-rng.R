with_seed <- function(seed, code) {
  set.seed(seed)
  code
}
draw <- function(i) c(runif(2), rnorm(1), sample(1000, 2))

test_that("after set.seed() a map gives the same for every np, backend and mode", {
  ref <- with_seed(1, MapReduce(np = 0)$map(draw, 1:30))
  for (np in c(1, 2, 7)) expect_identical(with_seed(1, MapReduce(np = np)$map(draw, 1:30)), ref)
  expect_identical(with_seed(1, MapReduceByThread(3)$map(draw, 1:30)), ref)
  expect_identical(with_seed(1, MapReduce(np = 2)$map(draw, 1:30, minlength = 100)), ref)
  old <- set_debug(TRUE)
  debug <- with_seed(1, MapReduce(np = 2)$map(draw, 1:30))
  set_debug(old)
  expect_identical(debug, ref)
  expect_identical(with_seed(1, MapReduce(np = 2, trace = TRUE, output = "inherit", threads = NULL)$map(draw, 1:30)), ref)
  expect_false(identical(with_seed(2, MapReduce(np = 2)$map(draw, 1:30)), ref))
  expect_false(anyDuplicated(vapply(ref, `[`, 0, 1L)) > 0)
})

test_that("deaths with retries, and failures that are collected, change no other item's numbers", {
  ref <- with_seed(1, MapReduce(np = 0)$map(draw, 1:30))
  asked <- full(30, 0, "i4")
  got <- with_seed(1, MapReduce(np = 3, retries = 2)$map(function(i) {
    runif(i %% 3)
    if (i %% 6 == 0 && atomic_add(asked, i, 1) == 1) tools::pskill(Sys.getpid(), 9)
    if (i %% 3 == 0) draw(i)
  }, 1:30))
  expect_identical(got[1:10 * 3], ref[1:10 * 3])
  r <- with_seed(1, MapReduce(np = 2, on_error = "collect")$map(function(i) { v <- draw(i); if (i %% 5 == 0) stop("x"); v }, 1:30))
  expect_identical(r[(1:30) %% 5 != 0], ref[(1:30) %% 5 != 0])
})

test_that("thousands of tiny items, in batches, draw the same however they are cut", {
  ref <- with_seed(3, MapReduce(np = 0)$map(function(i) runif(1), 1:5000))
  for (np in c(1, 2, 5)) expect_identical(with_seed(3, MapReduce(np = np)$map(function(i) runif(1), 1:5000)), ref)
  expect_identical(with_seed(3, MapReduce(np = 2)$map(function(i) if (i %% 10 == 0) runif(1), 1:5000))[1:500 * 10], ref[1:500 * 10])
})

test_that("nested maps draw the same, whether or not either forks", {
  nest <- function(outer, inner) with_seed(4, {
    a <- MapReduce(np = outer)
    b <- MapReduce(np = inner)
    a$map(function(i) list(b$map(function(j) runif(1) + i, 1:4), runif(1)), 1:5)
  })
  ref <- nest(0, 0)
  expect_identical(nest(2, 0), ref)
  expect_identical(nest(0, 2), ref)
  expect_identical(nest(2, 2), ref)
})

test_that("the master's generator moves on by exactly one step, whatever the items draw", {
  for (np in c(0, 2)) for (f in list(draw, identity, function(i) set.seed(1), function(i) RNGkind("Wichmann-Hill"))) {
    set.seed(5)
    MapReduce(np = np)$map(f, 1:10)
    after <- .Random.seed
    set.seed(5)
    runif(1)
    expect_identical(after, .Random.seed)
  }
  set.seed(5)
  before <- .Random.seed
  MapReduce(np = 2, seed = FALSE)$map(identity, 1:10)
  expect_identical(.Random.seed, before)
})

test_that("the generator moves on and stays whole when the map fails", {
  set.seed(6)
  for (np in c(0, 2)) {
    set.seed(6)
    expect_error(MapReduce(np = np)$map(function(i) { runif(3); stop("x") }, 1:10), class = "WorkerException")
    after <- .Random.seed
    set.seed(6)
    runif(1)
    expect_identical(after, .Random.seed)
  }
})

test_that("two maps after each other draw different numbers, and the same again after set.seed()", {
  two <- function() with_seed(7, { p <- MapReduce(np = 2); list(p$map(draw, 1:5), p$map(draw, 1:5)) })
  a <- two()
  expect_false(identical(a[[1]], a[[2]]))
  expect_identical(two(), a)
})

test_that("RNGkind is left alone, for every kind, and counts in the items", {
  old <- RNGkind()
  on.exit(suppressWarnings(do.call(RNGkind, as.list(old))))
  kinds <- c("Wichmann-Hill", "Marsaglia-Multicarry", "Super-Duper", "Mersenne-Twister", "Knuth-TAOCP", "Knuth-TAOCP-2002", "L'Ecuyer-CMRG")
  each <- rbind(cbind(kinds, "Inversion", "Rejection"),
                cbind("Mersenne-Twister", c("Kinderman-Ramage", "Ahrens-Dieter", "Box-Muller"), "Rounding"))
  for (row in seq_len(nrow(each))) {
    suppressWarnings(RNGkind(each[row, 1], each[row, 2], each[row, 3]))
    set.seed(8)
    kinds <- RNGkind()
    ref <- MapReduce(np = 0)$map(function(i) list(RNGkind(), draw(i)), 1:3)
    expect_identical(RNGkind(), kinds)
    set.seed(8)
    got <- MapReduce(np = 2)$map(function(i) list(RNGkind(), draw(i)), 1:3)
    expect_identical(RNGkind(), kinds)
    expect_identical(got, ref)
    expect_identical(got[[1]][[1]], c("L'Ecuyer-CMRG", kinds[-1]))
  }
})

test_that("the deviate that Box-Muller keeps back goes neither to the next item nor to or from the master", {
  old <- RNGkind(normal.kind = "Box-Muller")
  on.exit(RNGkind(normal.kind = old[2]))
  run <- function(np) {
    set.seed(20)
    rnorm(1)
    r <- MapReduce(np = np)$map(function(i) { Sys.sleep(0.003); rnorm(1) }, 1:12)
    c(unlist(r), rnorm(3))
  }
  ref <- run(0)
  expect_identical(anyDuplicated(ref), 0L)
  for (np in c(1, 2, 7)) expect_identical(run(np), ref)
})

test_that("the first draw of an item comes from its state, a valid one that no other item has", {
  set.seed(9)
  seeds <- MapReduce(np = 2)$map(function(i) get(".Random.seed", globalenv()), 1:300)
  expect_true(all(lengths(seeds) == 7))
  expect_identical(anyDuplicated(seeds), 0L)
  bits <- vapply(seeds, function(s) ifelse(is.na(s[-1]), 2^31, as.numeric(s[-1]) %% 2^32), numeric(6))
  expect_true(all(bits > 0) && all(bits[1:3, ] < 4294967087) && all(bits[4:6, ] < 4294944443))
  set.seed(9)
  drawn <- MapReduce(np = 2)$map(function(i) runif(3), 1:6)
  keep <- .Random.seed
  for (i in 1:6) {
    assign(".Random.seed", seeds[[i]], envir = globalenv())
    expect_identical(drawn[[i]], runif(3))
  }
  assign(".Random.seed", keep, envir = globalenv())
})

test_that("streams and substreams that code inside an item takes meet no other item's", {
  take <- function(i) {
    own <- get(".Random.seed", globalenv())
    next_few <- function(step) { s <- own; lapply(1:5, function(k) s <<- step(s)) }
    c(list(own), next_few(parallel::nextRNGStream), next_few(parallel::nextRNGSubStream))
  }
  for (pool in list(MapReduce(np = 2), MapReduce(np = 0), MapReduceByThread(2), MapReduce(np = 2, seed = FALSE)))
    expect_identical(anyDuplicated(unlist(pool$map(take, 1:30), recursive = FALSE)), 0L)
  inner <- list(
    mclapply = function(i) unlist(parallel::mclapply(1:4, function(j) rnorm(1), mc.cores = 2, mc.preschedule = FALSE)),
    map = function(i) unlist(MapReduce(np = 2)$map(function(j) rnorm(1), 1:4)),
    map_here = function(i) unlist(MapReduce(np = 0)$map(function(j) rnorm(1), 1:4)),
    background = function(i) { b <- lapply(1:2, function(j) background(function() rnorm(1))); vapply(b, function(p) p$wait(), 0) },
    own = function(i) rnorm(4))
  set.seed(21)
  draws <- unlist(lapply(c(2, 0), function(np) lapply(inner, function(f) MapReduce(np = np)$map(f, 1:6))))
  expect_identical(anyDuplicated(draws), 0L)
})

test_that("futures inside items draw what no other item's do", {
  skip_if_not_installed("future")
  skip_if_not_installed("future.apply")
  inner <- function(i) {
    future::plan("sequential")
    c(unlist(future.apply::future_lapply(1:4, function(j) rnorm(1), future.seed = TRUE)),
      future::value(future::future(rnorm(1), seed = TRUE)))
  }
  set.seed(22)
  expect_identical(anyDuplicated(unlist(lapply(c(2, 0), function(np) MapReduce(np = np)$map(inner, 1:6)))), 0L)
})

test_that("children that items fork by mcparallel() draw what no other item, and no other child, does", {
  loadNamespace("parallel")
  jobs <- function(i) {
    own <- runif(1)
    a <- parallel::mcparallel(runif(2))
    b <- parallel::mcparallel(runif(2))
    c(own, unlist(parallel::mccollect(list(a, b)), use.names = FALSE), runif(1),
      unlist(parallel::mclapply(1:2, function(j) runif(1), mc.cores = 2)))
  }
  old <- RNGkind("L'Ecuyer-CMRG")
  set.seed(3)
  parallel::mc.reset.stream() # all workers inherit this state of package parallel
  got <- with_seed(3, MapReduce(np = 2)$map(jobs, 1:12))
  expect_identical(anyDuplicated(unlist(got)), 0L)
  expect_identical(with_seed(3, MapReduce(np = 3)$map(jobs, 1:12)), got)
  RNGkind(old[1], old[2], old[3])
  expect_identical(anyDuplicated(unlist(with_seed(3, MapReduce(np = 3)$map(jobs, 1:12)))), 0L)
})

test_that("draws, those in reduce too, and the generator afterwards are the same whoever runs the items", {
  run <- function(pool, n = 6, ...) {
    r <- pool$map(function(i) { x <- runif(1); rnorm(1); c(i, x) }, seq_len(n), ...)
    list(r, runif(1), get(".Random.seed", globalenv()))
  }
  reduce <- function(v) c(v, runif(1), rnorm(1))
  pools <- list(MapReduce(np = 1), MapReduce(np = 0), MapReduceByThread(2), MapReduce(np = 1, retries = 1),
                MapReduce(np = 1, on_error = "collect"))
  old <- RNGkind()
  on.exit(suppressWarnings(do.call(RNGkind, as.list(old))))
  for (kind in list(c("Mersenne-Twister", "Inversion"), c("L'Ecuyer-CMRG", "Ahrens-Dieter"), c("Wichmann-Hill", "Box-Muller"))) {
    RNGkind(kind[1L], kind[2L])
    ref <- with_seed(23, run(pools[[1L]], reduce = reduce))
    for (pool in pools[-1L]) expect_identical(with_seed(23, run(pool, reduce = reduce)), ref)
    expect_identical(with_seed(23, run(pools[[1L]], minlength = 100, reduce = reduce)), ref)
    set_debug(TRUE)
    expect_identical(with_seed(23, run(pools[[1L]], reduce = reduce)), ref)
    set_debug(FALSE)
  }
})

test_that("an error, StopProcessGroup or an interrupted reduce leaves the session its generator, whoever runs the items", {
  after <- function(np, func, reduce = NULL) with_seed(24, {
    try(MapReduce(np = np)$map(func, 1:4, reduce = reduce), silent = TRUE)
    list(RNGkind(), runif(2))
  })
  fails <- list(list(function(i) { runif(1); stop("x") }), list(function(i) { runif(1); stop(StopProcessGroup()) }),
                list(function(i) { runif(1); set.seed(i); RNGkind("Wichmann-Hill"); i }), list(identity, function(v) stop("y")),
                list(function(i) { runif(1); tryCatch(MapReduce(np = 0)$map(function(j) { runif(1); stop("z") }, 1),
                                                      error = function(e) runif(1)) }))
  for (f in fails) {
    ref <- suppressWarnings(do.call(after, c(1, f)))
    expect_identical(suppressWarnings(do.call(after, c(0, f))), ref)
    expect_identical(ref[[2L]], with_seed(24, { runif(1); runif(2) }))
  }
})

test_that("a session that has never drawn maps too, and then has a generator", {
  r <- run_script({
    had <- exists(".Random.seed", globalenv(), inherits = FALSE)
    a <- unlist(MapReduce(np = 2)$map(function(i) runif(1), 1:50))
    answer(list(had, a, exists(".Random.seed", globalenv(), inherits = FALSE), RNGkind()[1]))
  })
  expect_script_ok(r)
  expect_false(r$value[[1]])
  expect_identical(anyDuplicated(r$value[[2]]), 0L)
  expect_true(r$value[[3]])
  expect_identical(r$value[[4]], "Mersenne-Twister")
  r <- run_script({
    a <- MapReduce(np = 2, seed = FALSE)$map(function(i) i, 1:4)
    answer(exists(".Random.seed", globalenv(), inherits = FALSE))
  })
  expect_script_ok(r)
  expect_false(r$value)
})

test_that("what an item does to the generator ends with the item", {
  ref <- with_seed(10, MapReduce(np = 0)$map(draw, 1:12))
  meddle <- list(function() set.seed(1), function() RNGkind("Marsaglia-Multicarry"), function() rm(".Random.seed", envir = globalenv()),
                 function() assign(".Random.seed", 5L, envir = globalenv()), function() RNGkind(normal.kind = "Box-Muller"),
                 function() runif(1e4))
  for (np in c(0, 1)) {
    got <- with_seed(10, MapReduce(np = np)$map(function(i) {
      v <- draw(i)
      suppressWarnings(meddle[[(i - 1) %% 6 + 1]]())
      v
    }, 1:12))
    expect_identical(got, ref)
  }
})

test_that("set.seed() inside an item gives what it gives anywhere", {
  f <- function(i) { set.seed(i); c(RNGkind()[1] == "L'Ecuyer-CMRG", runif(1)) }
  expect_identical(with_seed(11, MapReduce(np = 2)$map(f, 1:5)), with_seed(12, MapReduce(np = 0)$map(f, 1:5)))
})

test_that("a generator supplied by the user, or a broken .Random.seed, is an error or works, never a crash", {
  r <- run_script({
    assign(".Random.seed", "junk", envir = globalenv())
    a <- tryCatch(suppressWarnings(MapReduce(np = 2)$map(function(i) runif(1), 1:3)), error = function(e) e)
    answer(if (inherits(a, "error")) "error" else all(vapply(a, is.numeric, NA)))
  })
  expect_script_ok(r)
  expect_true(identical(r$value, "error") || isTRUE(r$value))
})

test_that("with seed = FALSE the session's generator is untouched, and no two workers, items or maps draw the same", {
  for (pool in list(MapReduce(np = 2, seed = FALSE), MapReduce(np = 0, seed = FALSE), MapReduceByThread(2, seed = FALSE))) {
    set.seed(13)
    before <- get(".Random.seed", globalenv())
    maps <- unlist(lapply(1:3, function(k) pool$map(function(i) { Sys.sleep(0.002); runif(1) }, 1:8)))
    expect_identical(anyDuplicated(maps), 0L)
    expect_identical(get(".Random.seed", globalenv()), before)
  }
  r <- run_script({
    a <- unlist(lapply(c(2, 0), function(np) MapReduce(np = np, seed = FALSE)$map(function(i) runif(1), 1:4)))
    answer(list(anyDuplicated(a), exists(".Random.seed", globalenv(), inherits = FALSE), RNGkind(), { runif(1); RNGkind()[1L] }))
  })
  expect_script_ok(r)
  expect_identical(r$value, list(0L, FALSE, c("Mersenne-Twister", "Inversion", "Rejection"), "Mersenne-Twister"))
})

test_that("a background call leaves the generator, and draws by set.seed() and the number of those before it", {
  draw_two <- function() lapply(1:2, function(k) background(function() runif(2))$wait())
  for (debug in c(FALSE, TRUE)) {
    set_debug(debug)
    set.seed(15)
    before <- get(".Random.seed", globalenv())
    a <- draw_two()
    expect_identical(get(".Random.seed", globalenv()), before)
    expect_identical(anyDuplicated(unlist(a)), 0L)
    set.seed(15)
    expect_identical(draw_two(), a)
    runif(1)
    expect_identical(anyDuplicated(c(unlist(draw_two()), unlist(a))), 0L)
    set_debug(FALSE)
    kept <- if (debug) expect_identical(a, kept) else a
  }
})

test_that("a background process draws from a stream of its own and leaves the session's generator alone", {
  set.seed(14)
  before <- .Random.seed
  a <- background(function() runif(3))$wait()
  b <- background(function() runif(3))$wait()
  expect_identical(anyDuplicated(c(a, b)), 0L)
  expect_identical(.Random.seed, before)
  set.seed(14)
  expect_identical(background(function() runif(3))$wait(), a)
})

test_that("a region's draws differ between ranks and depend on the seed alone", {
  draw <- function() {
    set.seed(42)
    p <- Parallel(Reduction(c, x = NULL), num_threads = 2)
    with(p, p$var$x <- runif(2))
    p$var$x
  }
  x <- draw()
  expect_identical(anyDuplicated(x), 0L)
  expect_identical(draw(), x)
})

test_that("a region leaves the session's generator as it is, and the next one draws other numbers", {
  p <- Parallel(Reduction(c, x = NULL), num_threads = 2)
  draws <- function() {
    with(p, if (p$rank == 1L) p$var$x <- runif(2))
    p$var$x
  }
  set.seed(42)
  before <- .Random.seed
  expect_length(draws(), 2L)
  both <- draws() # the first region's numbers and two more
  expect_identical(.Random.seed, before)
  expect_length(both, 4L)
  expect_identical(anyDuplicated(both), 0L)
})

test_that("set.seed() in a region gives the same numbers in each rank, of the session's kind", {
  run <- function(n) {
    p <- Parallel(Shared(v = numeric(6)), num_threads = n)
    with(p, p$forloop(1:6, function(i) { set.seed(i); p$var$v[i] <- runif(1) }))
    p$var$v[]
  }
  here <- vapply(1:6, function(i) { set.seed(i); runif(1) }, 0)
  for (n in 1:3) expect_identical(run(n), here)
})
