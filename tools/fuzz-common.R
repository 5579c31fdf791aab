# Sourced by tools/fuzz-*.R: arguments, the loop, and a mutator. Each run has a seed of its own, by which --runs=1 repeats it.
arg <- function(name, default) {
  given <- grep(sprintf("^--%s=", name), commandArgs(TRUE), value = TRUE)
  if (length(given)) as.numeric(sub("^[^=]*=", "", given[1L])) else default
}
fuzz <- new.env()
fuzz$first <- arg("seed", as.integer(Sys.time()) %% 1e6 * 1000)
fuzz$done <- fuzz$findings <- 0
cat(sprintf("seed: %.0f\n", fuzz$first))

pick <- function(x) x[[sample.int(length(x), 1L)]]
chance <- function(p) runif(1) < p
runs_done <- function() fuzz$done
current_seed <- function() fuzz$first + fuzz$done

# Call one() until the time is over; an error that it lets through is a finding.
fuzz_loop <- function(one, seconds = arg("seconds", 60), runs = arg("runs", Inf)) {
  until <- Sys.time() + seconds
  while (fuzz$done < runs && (is.finite(runs) || Sys.time() < until) && fuzz$findings < 20) {
    if (fuzz$done %% 200 == 0) cat(sprintf("at --seed=%.0f\n", current_seed()))
    if (nzchar(Sys.getenv("FUZZ_VERBOSE"))) cat(sprintf("%.0f\n", current_seed()))
    set.seed(current_seed())
    tryCatch(one(), error = function(e) fuzz_finding(paste0(class(e)[1L], ": ", conditionMessage(e))))
    fuzz$done <- fuzz$done + 1
  }
}
fuzz_finding <- function(what) {
  fuzz$findings <- fuzz$findings + 1
  cat(sprintf("\nfinding (--seed=%.0f --runs=1): %s\n", current_seed(), what))
}
fuzz_end <- function() {
  cat(sprintf("%d runs, %d findings\n", fuzz$done, fuzz$findings))
  if (fuzz$findings > 0) quit(status = 1)
}

# Two numbers below 2^32, bit by bit.
xor_word <- function(a, b) {
  low <- bitwXor(a %% 65536, b %% 65536)
  bitwXor(a %/% 65536, b %/% 65536) * 65536 + low
}

# The bytes b with one to three of them changed, taken out, put in, doubled or cut off, most of it among the first `front`.
mutate <- function(b, tokens, front) {
  for (k in seq_len(sample(0:3, 1L, prob = c(1, 4, 2, 1)))) {
    if (!length(b)) return(raw(1))
    at <- sample.int(if (chance(0.9)) min(front, length(b)) else length(b), 1L)
    token <- charToRaw(pick(tokens))
    b <- switch(sample.int(5L, 1L), replace(b, at, as.raw(sample.int(256L, 1L) - 1L)), b[-at], append(b, token, at - 1L),
                replace(b, at - 1L + seq_along(token), token), append(b, b[at:min(at + 7L, length(b))], at))
  }
  if (chance(0.05)) b[seq_len(sample.int(length(b) + 1L, 1L) - 1L)] else b
}
