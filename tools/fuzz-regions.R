# Random regions, run by one process and by several, in debug mode and by the fork server: what loops, sections, reductions and shared
# variables give, and what is said, must not depend on it.
#   Rscript tools/fuzz-regions.R [--seconds=60] [--seed=N] [--runs=N]
# A finding is repeated by the seed that it prints, with --runs=1.
#
# What is not compared, and why:
#   the order of conditions and lines of different items   items end in any order
#   what a region that fails did to its variables, and which item it names    ranks that ran beside the failing one
#   draws, but after set.seed() in the body, and rank 0's generator after draws    each rank has numbers of its own
suppressMessages(library(sharedmem))
source("tools/fuzz-common.R")

# ---- programs ----

# One statement of the body of a loop over items; `i` is the item.
in_loop <- function(ordered) pick(c(list(
  quote(p$critical(p$var$hits <- p$var$hits + 1)), quote(with(p$critical, p$var$hits <- p$var$hits + i)),
  quote(p$var$total <- p$var$total + c(i, 1)), quote(p$var$most <- max(p$var$most, i)), quote(p$var$every <- p$var$every && i > 0),
  quote(own[i] <- own[i] + i), quote({ y <- p$var$slots; y[1L] }), quote(p$var$slots[i] <- i * 2), quote(atomic_add(own, 40, i)),
  quote(p$var$mine <- p$var$mine + i), quote(message("note ", i)), quote(warning("careful ", i)), quote(cat("line", i, "\n")),
  quote({ set.seed(i); own[i] <- floor(1e6 * runif(1)) }), quote(own[20 + i] <- helper(i)), quote(Sys.sleep(0.001)),
  quote(if (i %% 2) return(NULL)), quote(suppressWarnings(warning("never seen"))), quote(try(stop("kept"), silent = TRUE)),
  quote(p$var$product <- p$var$product * (1 + (i == 2))), quote(p$var$named["b"] <- 7), quote(p$var$grid[1 + i %% 2, 2] <- 1),
  quote(own[41] <- 9), quote(p$critical({ k <- p$var$slots[1]; p$var$slots[1] <- k + 1 })),
  quote(own[42] <- length(unlist(MapReduce(np = 2)$map(function(k) k, 1:3)))), quote(local({ z <- i; own[45 + i] <- z }))),
  if (ordered) list(quote(ordered({ own[63] <- own[63] + 1; turns[own[63]] <- i })),
                    quote(with(ordered, { own[63] <- own[63] + 1; turns[own[63]] <- i })))))

# One statement of the braces, which all ranks meet.
in_braces <- function(n) pick(list(
  function() {
    ordered <- chance(0.3)
    body <- as.call(c(list(quote(`{`)), replicate(sample.int(3L, 1L), in_loop(ordered), simplify = FALSE)))
    f <- if (ordered) bquote(function(i, ordered) .(body)) else bquote(function(i) .(body))
    range <- pick(list(bquote(seq_len(.(n))), bquote(as.list(seq_len(.(n)))), bquote(rev(seq_len(.(n)))), quote(integer()), quote(2:3)))
    loop <- list(quote(p$forloop), range, f)
    if (chance(0.6)) loop$schedule <- pick(c("static", "dynamic", "guided"))
    if (chance(0.4)) loop$chunk <- sample.int(4L, 1L)
    if (ordered) loop$ordered <- TRUE
    if (chance(0.2)) loop$nowait <- TRUE
    as.call(loop)
  },
  function() quote(p$barrier()), function() quote(p$single({ p$var$once <- p$var$once + 1; cat("single\n") })),
  function() quote(p$single(atomic_add(own, 50, 1), nowait = TRUE)), function() quote(if (p$master) own[51] <- 3),
  function() quote(if (p$rank == 0) message("the master's")), function() quote(p$critical(p$var$ranks[p$rank + 1] <- 1)),
  function() quote(x <- helper(2)), function() quote({ p$barrier(); if (p$rank == p$num_threads - 1) own[52] <- 1; p$barrier() })))()

failures <- function() pick(list(quote(stop("failed at ", i)), quote(undefined_function(i)), quote(own[1e6] <- 1),
                                 quote(stop(structure(class = c("own_error", "error", "condition"), list(message = "own", call = NULL))))))

new_program <- function() {
  n <- sample(c(1L, 2L, 5L, 9L, 17L), 1L)
  code <- replicate(sample.int(4L, 1L), in_braces(n), simplify = FALSE)
  if (chance(0.15)) {
    at <- sample.int(n, 1L)
    schedule <- pick(c("static", "dynamic"))
    code <- c(code, list(bquote(p$forloop(seq_len(.(n)), function(i) if (i == .(at)) .(failures()), schedule = .(schedule)))))
  }
  code <- as.call(c(list(quote(`{`)), code))
  list(code = code, draws = any(c("set.seed", "MapReduce") %in% all.names(code)))
}

# ---- one way to run it ----

helper <- function(k) k * 10
own <- turns <- p <- NULL

run_by <- function(program, num_threads, debug = FALSE, served = FALSE) {
  own <<- empty(64); turns <<- empty(64)
  old <- set_debug(debug)
  forks <- options(sharedmem.fork = if (served) FALSE)
  on.exit({ set_debug(old); options(forks) })
  p <<- Parallel(Shared(hits = 0, slots = numeric(20), once = 0L, ranks = numeric(8), grid = matrix(0, 2, 2)),
                 Shared(named = c(a = 1, b = 2)),
                 Private(mine = 0), Reduction("+", total = c(0, 0)), Reduction("max", most = -5), Reduction("&&", every = TRUE),
                 Reduction("*", product = 1), num_threads = num_threads)
  said <- character()
  hear <- function(condition, restart) {
    said <<- c(said, paste(c(class(condition), conditionMessage(condition)), collapse = " | "))
    invokeRestart(restart)
  }
  set.seed(17)
  failed <- NULL
  printed <- utils::capture.output(withCallingHandlers(
    tryCatch(eval(bquote(with(p, .(program$code))), globalenv()),
             error = function(e) failed <<- if (inherits(e, "WorkerException")) e$reason else e),
    warning = function(w) hear(w, "muffleWarning"), message = function(m) hear(m, "muffleMessage")))
  if (!is.null(failed)) return(list(failed = class(failed), text = gsub("[0-9]+", "#", conditionMessage(failed))))
  vars <- p$var
  list(said = sort(said), printed = sort(printed), random = if (!program$draws) .Random.seed, own = own[], turns = turns[],
       hits = vars$hits[], slots = vars$slots[], once = vars$once[], grid = vars$grid[], named = vars$named[], total = vars$total,
       most = vars$most, every = vars$every, product = vars$product)
}

one <- function() {
  program <- new_program()
  if (nzchar(Sys.getenv("FUZZ_VERBOSE"))) print(program$code)
  first <- run_by(program, 1)
  ways <- list(two = list(2), three = list(3), debug = list(2, TRUE), served = list(2, FALSE, TRUE))
  for (name in names(ways)) {
    other <- do.call(run_by, c(list(program), ways[[name]]))
    for (part in union(names(first), names(other))) if (!identical(first[[part]], other[[part]])) {
      print(program$code)
      show <- function(x) substr(paste(deparse(x), collapse = ""), 1L, 600L)
      stop(sprintf("one process and %s differ in %s: %s\n   and %s", name, part, show(first[[part]]), show(other[[part]])))
    }
  }
}

options(sharedmem.fork = FALSE)
suppressMessages(with(Parallel(num_threads = 2), NULL)) # one message a session says that the fork server is there
options(sharedmem.fork = NULL)
fuzz_loop(one)
fuzz_end()
