test_that("locked, active and delayed bindings that func reaches are left as they are", {
  r <- run_script({
    score <- function(x) { s <- 0; for (v in x) s <- s + v^2; s }
    lockBinding("score", globalenv())
    forced <- 0
    delayedAssign("table_of_all", { forced <- forced + 1; stop("table server is down") })
    delayedAssign("loader", { forced <- forced + 1; function(i) i })
    makeActiveBinding("now", function() { forced <<- forced + 1; function() 1 }, globalenv())
    use <- function(i, full = FALSE) { if (full) loader(table_of_all[i]) + now(); score(seq_len(i)) }
    a <- MapReduce(np = 2)$map(use, 1:4)
    b <- MapReduce(np = 2)$map(function(i) use(i), 1:40)
    c <- before <- NULL
    set.seed(1)
    lockEnvironment(globalenv())
    c <- lapply(c(2, 0), function(np) MapReduce(np = np)$map(function(i) { use(i); round(runif(1), 6) }, 1:4))
    before <- .Random.seed
    lockEnvironment(globalenv(), bindings = TRUE)
    answer(list(a, b[1:4], lapply(c(2, 0), function(np) MapReduce(np = np)$map(use, 1:4)), forced, bindingIsLocked("score", globalenv()),
                anyDuplicated(unlist(c)), identical(before, .Random.seed)))
  }, env = c(R_ENABLE_JIT = "0")) # R's own compiler looks, too
  expect_script_ok(r)
  want <- list(1, 5, 14, 30)
  expect_identical(r$value, list(want, want, list(want, want), 0, TRUE, 0L, TRUE))
})

test_that("functions of the global environment that func reaches are compiled for workers, and the session's stay as they are", {
  r <- run_script({
    far <- function(x) { s <- 0; for (v in x) s <- s + v; s }
    near <- function(i) far(seq_len(i))
    is_compiled <- function(f) any(grepl("bytecode", utils::capture.output(print(f))))
    a <- MapReduce(np = 2)$map(function(i) { near(i); c(is_compiled(near), is_compiled(far)) }, 1:40)
    answer(list(all(unlist(a)), is_compiled(far)))
  }, env = c(R_ENABLE_JIT = "0"))
  expect_script_ok(r)
  expect_identical(r$value, list(TRUE, FALSE))
})
