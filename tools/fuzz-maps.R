# Random programs for a map, run in every way that a map can go: what it gives, raises, says, prints, draws and does to shared memory
# must be the same for one worker and three, in the session, in debug mode, by the fork server and by daemons of mirai.
#   Rscript tools/fuzz-maps.R [--seconds=60] [--seed=N] [--runs=N]
# A finding is repeated by the seed that it prints, with --runs=1.
#
# What is not compared, and why:
#   the order of conditions and lines of different items   items end in any order
#   what a map that stops at an error did to shared memory  items that ran beside the failing one
#   the class around an error in debug mode                 errors come unwrapped there, and stop what else would collect them
#   what is discarded or read, in debug mode                one looks and answers there
#   warnings of more than 50 in a map                       a map with workers counts the others
#   deaths in the session, by threads and in debug mode     they would be the session's
suppressMessages(library(sharedmem))
source("tools/fuzz-common.R")
have_mirai <- requireNamespace("mirai", quietly = TRUE)

# ---- programs ----

# One statement of a body; `i` is the item's number, `x` its value so far.
statements <- function() pick(list(
  quote(x <- rnorm(2)), quote(x <- c(x0, sample(100L, 1L))), quote(x <- runif(1) + length(x0)), quote(x <- rexp(1)),
  quote(warning(paste("careful", i))), quote(message("note ", i)), quote(cat("line", i, "\n")), quote(print(c(a = i))),
  quote(warning(structure(class = c("own_warning", "warning", "condition"), list(message = "own", call = NULL)))),
  quote(message(structure(class = c("own_message", "message", "condition"), list(message = "own\n", call = NULL)))),
  quote(suppressWarnings(warning("never seen"))), quote(try(stop("kept quiet"), silent = TRUE)),
  quote(x <- tryCatch(stop("caught ", i), error = conditionMessage)),
  quote(x <- withCallingHandlers(as.integer("7"), warning = function(w) stop("not here"))),
  quote(as.integer("seven")), quote(1:3 + 1:2), quote(x <- sqrt(-i)),
  quote(pool$critical({ count[1] <- count[1] + 1 })), quote(with(pool$critical, count[2] <- count[2] + i)),
  quote(x <- pool$critical(i * 2)), quote(atomic_add(count, 3, i)),
  quote(pool$ordered({ count[4] <- count[4] + 1; turns[count[4]] <- i })),
  quote(with(pool$ordered, { count[4] <- count[4] + 1; turns[count[4]] <- i })),
  quote(own[i] <- i^2), quote(own[i] <- own[i] + 1), quote(x <- helper(i)), quote(x <- workspace$b[[1L]]),
  quote(x <- list(x, letters[1:2])), quote(x <- identical(environment(), globalenv())), quote(on.exit(cat("leaving", i, "\n"))),
  quote(local({ y <- i; pool$critical(count[5] <- max(count[5], y)) })), quote(x <- captured),
  quote(Sys.sleep(0.002)), quote(if (i %% 2) return(x)),
  quote(x <- unlist(lapply(1:3, function(k) k * i))), quote(x <- vapply(1:2, function(k) runif(1), 0)),
  quote(x <- unlist(MapReduce(np = 2)$map(function(k) k + runif(1), 1:2))), quote(x <- nargs()), quote(x <- missing(x0)),
  quote(x <- as.character(sys.call()[[1L]])), quote(signalCondition(simpleCondition("nobody listens"))),
  quote(x <- RNGkind()), quote(set.seed(i)), quote(x <- Sys.getenv("FUZZ_MAPS")), quote(x <- getOption("digits")),
  quote(x <- inherits(tryCatch(warning("w"), warning = identity), "warning")),
  quote(warning("without a call", call. = FALSE)), quote(message("no new line", appendLF = FALSE)),
  quote(cat(strrep("long ", 3000), "\n")), quote(cat("\u00e9\n")), quote(for (k in 1:60) warning("one of many ", k)),
  quote(warning("\u00e9 careful")), quote(x <- deparse(substitute(x0))), quote(x <- sys.nframe() > 0),
  quote(x <- interactive()), quote(x <- is.function(sys.function())), quote(x <- identical(parent.frame(), globalenv()) && FALSE),
  quote(local(warning("deep"))), quote(x <- tryCatch(pool$critical(stop("inside")), error = conditionMessage)),
  quote(x <- tryCatch(pool$critical(pool$critical(1)), error = conditionMessage)),
  quote(x <- tryCatch(pool$critical(pool$ordered(1)), error = conditionMessage)), quote(x <- pool$local$rank >= 0),
  quote(pool$local$mine <- i), quote(x <- tryCatch({ own[65] <- 1 }, error = conditionMessage)),
  quote(x <- background(function() i + 1)$wait()), quote(x <- sum(own[i]) * 0), quote(x <- dim(empty(c(i, 2)))),
  quote(x <- tryCatch(MapReduce(np = 2)$map(function(k) if (k == 2) stop("nested ", k), 1:2), error = function(e) inherits(e, "error"))),
  quote({ p <- Parallel(Reduction("+", s = 0), num_threads = 2); with(p, { p$var$s <- 1 / p$num_threads }); x <- p$var$s }),
  quote(x <- withVisible(invisible(3))$visible),
  quote(write(i, file.path(tempdir(), paste0("made-", i)))), quote(x <- length(readLines(stdin()))),
  quote(x <- mapply(function(a, b) a + b, 1:2, 3:4)), quote(x <- tempdir() == session_tempdir),
  quote(x <- system2("echo", "hello", stdout = TRUE)), quote(x <- integer()), quote(x <- new_thing()), quote(print(new_thing())),
  quote(x <- basename(getwd()))))

# What a function gives.
ends <- function() pick(list(
  quote(x), quote(x), quote(x), quote(NULL), quote(invisible(x)), quote(i), quote(list(i, "a")), quote(list(a = NULL, b = i)),
  quote(factor(c("u", "v"))[1L + i %% 2L]), quote(as.Date("2024-02-29") + i), quote(data.frame(k = i, s = "t")), quote(tuple(i, x)),
  quote(as_shared(c(i, 2 * i))), quote(list(empty(3), i)), quote(function(z) z + i), quote(quote(a + b)), quote(y ~ z),
  quote(complex(real = i, imaginary = -1)), quote(as.raw(i %% 256)), quote(c(a = i, b = NA)), quote(matrix(i, 2, 2)),
  quote(seq_len(1000)), quote(rep(i, 70000)), quote(rep("text", 3000)), quote(c("\u00e9", NA, "")), quote(simpleError("a value")),
  quote(try(log("a"), silent = TRUE)), quote(list2env(list(v = i))), quote(expression(a, 1)), quote(-0), quote(NA_character_),
  quote(structure(list(i), class = "own_class")), quote(I(i)), quote(ts(1:3)), quote(.Machine$integer.max), quote(pool$np >= 0)))

failures <- function() pick(list(
  quote(stop("failed at ", i)), quote(stop("no call ", i, call. = FALSE)), quote(stopifnot("i is small" = i < 0)),
  quote(stop(structure(class = c("own_error", "error", "condition"), list(message = "own", call = NULL, data = i)))),
  quote(log("a")), quote(undefined_function(i)), quote(undefined_variable), quote(own[1e6] <- 1), quote(match.arg("z", c("a", "b")))))

new_program <- function() {
  n <- sample(c(0L, 1L, 2L, 5L, 9L, 30L), 1L, prob = c(1, 2, 3, 5, 5, 2))
  body <- replicate(sample(0:4, 1L), statements(), simplify = FALSE)
  failing <- if (n > 0L && chance(0.25)) sort(sample.int(n, min(n, sample.int(3L, 1L))))
  if (length(failing)) body <- append(body, list(bquote(if (i %in% .(failing)) .(failures()))), sample(0:length(body), 1L))
  dying <- if (n > 0L && chance(0.15)) sample.int(n, 1L)
  if (length(dying)) body <- c(list(bquote(if (i == .(dying) && atomic_add(deaths, 1, 1) == 1) tools::pskill(Sys.getpid(), 9))), body)
  items <- switch(sample.int(7L, 1L), seq_len(n), as.list(seq_len(n)), setNames(seq_len(n), sprintf("n%d", seq_len(n))),
                  lapply(seq_len(n), function(k) list(i = k)), as.numeric(seq_len(n)), as_shared(as.numeric(seq_len(n))),
                  as.Date("2024-01-01") + seq_len(n))
  star <- is.list(items) && n > 0L && is.list(items[[1L]])
  # a date is no number any more in the function; a list of arguments is spread
  head <- list(quote(i <- if (inherits(i, "Date")) as.numeric(i - as.Date("2024-01-01")) else as.numeric(i)), quote(x <- i))
  f <- function(i, x0 = 3) NULL
  body(f) <- as.call(c(list(quote(`{`)), head, body, list(ends())))
  environment(f) <- if (chance(0.5)) globalenv() else list2env(list(captured = 5), parent = globalenv())
  more <- switch(sample.int(3L, 1L), list(), list(x0 = 5), list(x0 = "given"))
  reduce <- if (chance(0.25)) pick(list(function(...) list(...), function(...) { seen <<- seen + 1; ..1 }, function(...) NULL))
  options <- list(seed = !chance(0.15))
  if (length(dying) || chance(0.3)) options$retries <- sample(1:2, 1L)
  if (length(failing) > 1L || chance(0.4)) options$on_error <- "collect"
  if (chance(0.1)) options$timeout <- 30
  if (chance(0.1)) options$trace <- TRUE
  if (chance(0.1)) options$output <- "discard"
  uses <- function(...) any(c(...) %in% all.names(body(f)))
  list(f = f, items = items, star = star, more = more, reduce = reduce, options = options, dies = length(dying) > 0L,
       fails = length(failing) > 0L, shares = uses("count", "turns", "own", "pool", "deaths"),
       asks = uses("stdin"), draws = uses("rnorm", "sample", "runif", "rexp"))
}

# ---- one way to run it ----

captured <- 5
session_tempdir <- tempdir()
new_thing <- function() structure(list(1), class = "fuzzed")
print.fuzzed <- function(x, ...) cat("a fuzzed thing\n")
helper <- function(k) inner_helper(k) + 1
inner_captured <- 5
session_tempdir <- tempdir()
new_thing <- function() structure(list(1), class = "fuzzed")
print.fuzzed <- function(x, ...) cat("a fuzzed thing\n")
helper <- function(k) k * 10
workspace <- list(b = list("from the workspace"))
Sys.setenv(FUZZ_MAPS = "set")
seen <- 0
count <- turns <- own <- deaths <- pool <- NULL

plain <- function(x) {
  if (is_shared(x)) return(list("shared", unshare(x)))
  if (inherits(x, "WorkerException")) return(list("failure", class(x), x$item, plain(x$reason)))
  if (inherits(x, "condition")) return(list("condition", class(x), conditionMessage(x)))
  if (is.function(x)) return(list("function", deparse(x)))
  if (is.environment(x)) return(list("environment", as.list(x)))
  if (is.language(x)) return(deparse(x))
  if (is.list(x)) return(list(lapply(unclass(x), plain), attributes(x)))
  x
}

run_by <- function(program, backend, np, debug = FALSE) {
  count <<- full(5, 0); turns <<- empty(64); own <<- empty(64); deaths <<- empty(1); seen <<- 0
  pool <<- do.call(MapReduce, c(list(backend = backend, np = np), program$options))
  said <- character()
  old <- set_debug(debug)
  on.exit(set_debug(old))
  set.seed(17)
  call <- c(list(program$f, program$items), if (program$star) list(star = TRUE),
            if (!is.null(program$reduce)) list(reduce = program$reduce), program$more)
  hear <- function(condition, restart) {
    said <<- c(said, paste(c(class(condition), conditionMessage(condition)), collapse = " | "))
    invokeRestart(restart)
  }
  printed <- utils::capture.output(value <- withCallingHandlers(
    tryCatch(plain(do.call(pool$map, call)),
             error = function(e) list("error", plain(if (inherits(e, "WorkerException")) e$reason else e))),
    warning = function(w) hear(w, "muffleWarning"), message = function(m) hear(m, "muffleMessage")))
  stopped <- identical(value[[1L]], "error")
  list(value = value, said = if (!stopped) sort(said), printed = if (!stopped) sort(printed), random = .Random.seed,
       arrays = if (!stopped) list(count[], turns[], own[]), seen = if (!stopped) seen)
}

ways <- function(program) {
  out <- list(one = list(ProcessBackend, 1), two = list(ProcessBackend, 2), three = list(ProcessBackend, 3))
  if (!program$dies) out <- c(out, list(here = list(ProcessBackend, 0), threads = list(ThreadBackend, 2)))
  collects <- program$fails && identical(program$options$on_error, "collect")
  if (!program$dies && !collects && !program$asks && is.null(program$options$output)) out$debug <- list(ProcessBackend, 2, TRUE)
  if (have_mirai && !program$shares) out$daemons <- list(ClusterBackend(), NULL)
  c(out, list(server = list(ServerBackend, 2)))
}

show_program <- function(program) {
  cat(deparse(program$f), "", sep = "\n")
  utils::str(program[c("items", "more", "reduce", "options")], give.attr = FALSE, list.len = 3L)
}

differences <- function(a, b) {
  if (any(grepl("more warnings? from workers", c(a$said, b$said)))) a$said <- b$said <- NULL
  for (part in names(a)) if (!identical(a[[part]], b[[part]], ignore.environment = TRUE, ignore.srcref = TRUE))
    return(sprintf("%s: %s\n   and %s", part, substr(paste(deparse(a[[part]]), collapse = ""), 1L, 700L),
                   substr(paste(deparse(b[[part]]), collapse = ""), 1L, 700L)))
  NULL
}

one <- function() {
  program <- new_program()
  if (nzchar(Sys.getenv("FUZZ_VERBOSE"))) show_program(program)
  all <- ways(program)
  first <- do.call(run_by, c(list(program), all[[1L]]))
  for (name in names(all)[-1L]) {
    other <- do.call(run_by, c(list(program), all[[name]]))
    if (!program$options$seed && program$draws) first$value <- other$value <- NULL
    what <- differences(first, other)
    if (!is.null(what)) {
      show_program(program)
      stop(sprintf("one worker and %s differ in %s", name, what))
    }
  }
}

if (have_mirai) mirai::daemons(1)
fuzz_loop(one)
if (have_mirai) mirai::daemons(0)
fuzz_end()
