test_that("other packages' calls are reached, and parallel's functions come back", {
  r <- run_script({
    theirs <- parallel::mclapply
    old <- use_for_parallel(TRUE)
    inside <- identical(parallel::mclapply, sharedmem::mclapply)
    w <- tryCatch(parallel::mclapply(1:3, function(i) tools::pskill(Sys.getpid(), 9), mc.cores = 2), warning = class)
    again <- use_for_parallel(TRUE)
    use_for_parallel(FALSE)
    answer(list(old, inside, w[1L], again, identical(parallel::mclapply, theirs), bindingIsLocked("mclapply", asNamespace("parallel"))))
  })
  expect_identical(r$value, list(FALSE, TRUE, "sharedmem_lost_warning", TRUE, TRUE, TRUE))
})

test_that("a package that imports parallel's function is reached", {
  r <- run_script({
    ns <- new.env(parent = baseenv())
    found <- Filter(function(p) exists("mclapply", envir = parent.env(asNamespace(p)), inherits = FALSE), loadedNamespaces())
    use_for_parallel(TRUE)
    ours <- function(p) identical(get("mclapply", envir = parent.env(asNamespace(p))), sharedmem::mclapply)
    answer(all(vapply(setdiff(found, "base"), ours, NA)))
  })
  expect_true(r$value)
  expect_error(use_for_parallel(NA), class = "sharedmem_argument_error")
})
