# What it costs to watch: trace = TRUE and progress = TRUE on many small items, and one event of a trace.

n_items <- size(1e5, 1e4)
plain <- MapReduce(np = 2)
traced <- MapReduce(np = 2, trace = TRUE)
shown <- MapReduce(np = 2, progress = TRUE)
some_work <- function(i) {
  s <- 0
  for (k in 1:200) s <- s + k * i
  s
}
watched <- function(f) list(
  `sharedmem` = function() plain$map(f, seq_len(n_items)),
  `sharedmem, trace = TRUE` = function() traced$map(f, seq_len(n_items)),
  `sharedmem, progress = TRUE` = function() shown$map(f, seq_len(n_items)))

section("Watching a map")
work(sprintf("%d items `function(i) i`", as.integer(n_items)), watched(function(i) i), times = size(11L, 3L))
work(sprintf("%d items of a few microseconds", as.integer(n_items)), watched(some_work), times = size(11L, 3L))
work(sprintf("reading a trace of %d items", as.integer(n_items)), list(
  `sharedmem, summary()` = function() summary(traced$trace),
  `sharedmem, plot()` = function() {
    grDevices::png(tempfile(), 1000, 500)
    on.exit(grDevices::dev.off())
    plot(traced$trace)
  },
  `sharedmem, write_trace()` = function() write_trace(traced$trace, tempfile())))

program <- build_c(c("bench/trace-events.c", "src/task_trace.c", "src/sm_base.c"))
if (!is.null(program)) {
  ns <- as.numeric(system2(program, stdout = TRUE))
  put(sprintf(paste0("One event of a trace: %.0f ns into memory in use, %.0f ns into fresh pages, %.0f ns when the ring is full; with ",
                     "two looks at the clock %.0f ns."),
              ns[1L], ns[2L], ns[3L], ns[4L]))
  unlink(program)
}
