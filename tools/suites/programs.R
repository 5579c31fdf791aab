# Programs as users write them, each once in the session and once on our back ends: the numbers must be the same. Then each with a
# worker that is killed in the middle: the result is complete, or what is raised or left in its place names the signal.
source("tools/suites/common.R")
needed("foreach", "boot", "lme4", "plyr", "caret", "glmnet", "doRNG", "doParallel", "future.apply", "furrr", "pbapply")
suppressPackageStartupMessages({
  library(foreach)
  library(doRNG)
  library(sharedmem)
})

session <- Sys.getpid()
parallel <- FALSE # is a program to ask for parallel work?
in_parallel <- function(on, expr) {
  parallel <<- TRUE
  on.exit(parallel <<- FALSE)
  on(expr)
}
# What a program gives from the same seed. `program` is called anew each time, so that its back end is looked up anew.
from_seed <- function(program) {
  set.seed(20)
  program()
}
as_numbers <- function(x) {
  x <- rapply(as.list(x), function(leaf) if (is.numeric(leaf) || is.character(leaf)) leaf, how = "unlist")
  x[!grepl("time|call", names(x))]
}

# on: a function that runs its argument on our back end.
same <- function(name, program, on) {
  here <- from_seed(program)
  there <- tryCatch(from_seed(function() in_parallel(on, program())), error = function(e) e)
  if (inherits(there, "error")) failed(name, ": ", conditionMessage(there))
  else if (isTRUE(all.equal(as_numbers(there), as_numbers(here), tolerance = 0))) passed()
  else failed(name, ": other numbers than in the session")
}

# program(hit): calls hit() where a worker is to die; it does so once. complete(value): is it all there?
killed <- function(name, program, on, complete) {
  told <- character()
  once <- tempfile()
  hit <- function() if (Sys.getpid() != session && file.exists(once) && file.remove(once)) tools::pskill(Sys.getpid(), 9L)
  file.create(once)
  value <- tryCatch(withCallingHandlers(in_parallel(on, program(hit)), warning = function(w) {
    told <<- c(told, conditionMessage(w))
    invokeRestart("muffleWarning")
  }), error = function(e) e)
  if (file.exists(once)) return(failed(name, ": no worker was killed"))
  if (inherits(value, "error")) told <- c(told, conditionMessage(value))
  if (any(grepl("SIGKILL", told)) || !inherits(value, "error") && complete(value)) passed()
  else failed(name, ", a worker killed: not complete, and told is only: ", paste(told, collapse = "; "))
}

on_foreach <- function(expr) {
  registerDoSharedmem(2)
  on.exit(registerDoSEQ())
  expr
}
on_parallel <- function(expr) {
  use_for_parallel(TRUE)
  on.exit(use_for_parallel(FALSE))
  expr
}
on_cluster <- function(expr) {
  cl <<- make_shared_cluster(2)
  on.exit({
    parallel::stopCluster(cl)
    cl <<- NULL
  })
  expr
}
on_cluster_foreach <- function(expr) on_cluster({
  doParallel::registerDoParallel(cl)
  on.exit(registerDoSEQ(), add = TRUE)
  expr
})
on_future <- function(expr) {
  future::plan(sharedmem, workers = 2)
  on.exit(future::plan(future::sequential))
  expr
}
cl <- NULL
registerDoSEQ()

# ---- foreach ----
control <- function(hit = function() NULL) caret::trainControl(method = "cv", number = 4, seeds = rep(list(1:3), 5),
  summaryFunction = function(data, lev = NULL, model = NULL) {
    hit()
    caret::defaultSummary(data, lev, model)
  })
train <- function(hit = function() NULL)
  caret::train(Species ~ ., data = iris, method = "knn", tuneGrid = data.frame(k = c(3, 5, 7)), trControl = control(hit))$results
same("caret::train()", train, on_foreach)
same("caret::train() on a cluster by registerDoParallel()", train, on_cluster_foreach)
killed("caret::train()", train, on_foreach, function(r) nrow(r) == 3L && !anyNA(r))

x <- as.matrix(mtcars[-1L])
lambdas <- function() glmnet::cv.glmnet(x, mtcars$mpg, nfolds = 4, parallel = parallel)[c("lambda", "cvm", "cvsd", "nzero")]
same("glmnet::cv.glmnet()", lambdas, on_foreach)
same("plyr::llply()", function() plyr::llply(1:20, function(i) i^2, .parallel = parallel), on_foreach)
same("plyr::ddply()", function() plyr::ddply(mtcars, "cyl", function(d) data.frame(mpg = mean(d$mpg)), .parallel = parallel), on_foreach)
killed("plyr::llply()", function(hit) plyr::llply(1:20, function(i) { if (i == 7) hit(); i }, .parallel = TRUE), on_foreach,
       function(r) identical(r, as.list(1:20)))
same("%dorng%", function() foreach(i = 1:8, .combine = c) %dorng% stats::runif(1), on_foreach)
killed("%dopar%", function(hit) foreach(i = 1:8) %dopar% { if (i == 5) hit(); i }, on_foreach, function(r) length(r) == 8L)

# ---- parallel ----
ratio <- function(hit = function() NULL) function(d, i) {
  hit()
  sum(d$x[i]) / sum(d$u[i])
}
booted <- function(type) function(hit = function() NULL)
  boot::boot(boot::city, ratio(hit), R = 60, parallel = if (parallel) type else "no", ncpus = 2L, cl = cl)[c("t0", "t")]
same("boot::boot(\"multicore\")", booted("multicore"), on_parallel)
same("boot::boot(\"snow\", cl = )", booted("snow"), on_cluster)
killed("boot::boot(\"multicore\")", booted("multicore"), on_parallel, function(b) length(b$t) == 60L && !anyNA(b$t))
killed("boot::boot(\"snow\", cl = )", booted("snow"), on_cluster, function(b) length(b$t) == 60L && !anyNA(b$t))

model <- lme4::lmer(Reaction ~ Days + (1 | Subject), lme4::sleepstudy)
refits <- function(type) function(hit = function() NULL)
  lme4::bootMer(model, function(m) { hit(); lme4::fixef(m) }, nsim = 12, parallel = if (parallel) type else "no", ncpus = 2L, cl = cl)$t
same("lme4::bootMer(\"multicore\")", refits("multicore"), on_parallel)
same("lme4::bootMer(\"snow\", cl = )", refits("snow"), on_cluster)
killed("lme4::bootMer(\"snow\", cl = )", refits("snow"), on_cluster, function(t) nrow(t) == 12L && !anyNA(t))
killed("lme4::bootMer(\"multicore\")", refits("multicore"), on_parallel, function(t) nrow(t) == 12L && !anyNA(t))

pbapply::pboptions(type = "none")
same("pbapply::pblapply(cl = 2)", function() pbapply::pblapply(1:20, sqrt, cl = if (parallel) 2L), on_parallel)
same("pbapply::pblapply() on a cluster", function() pbapply::pblapply(1:20, sqrt, cl = cl), on_cluster)
same("parallel::mclapply()", function() parallel::mclapply(1:20, sqrt, mc.cores = 2L), on_parallel)
killed("parallel::mclapply()", function(hit) parallel::mclapply(1:20, function(i) { if (i == 7) hit(); i }, mc.cores = 2L), on_parallel,
       function(r) identical(r, as.list(1:20)))

# ---- future ----
same("future_lapply()", function() future.apply::future_lapply(1:8, function(i) stats::rnorm(1), future.seed = TRUE), on_future)
same("furrr::future_map_dbl()", function() furrr::future_map_dbl(1:8, function(i) stats::rnorm(1),
                                                                 .options = furrr::furrr_options(seed = TRUE)), on_future)
killed("future_lapply()", function(hit) future.apply::future_lapply(1:8, function(i) { if (i == 5) hit(); i }), on_future,
       function(r) length(r) == 8L)
killed("furrr::future_map()", function(hit) furrr::future_map(1:8, function(i) { if (i == 5) hit(); i }), on_future,
       function(r) length(r) == 8L)
finish()
