# Damaged .npy and .npz files by the thousand, against NumPy: what read_npy() takes, NumPy takes too, with the same values; all else is a
# classed error. SHAREDMEM_TEST_FUZZ=k in the environment tries k times as many.
fuzz_rounds <- function(n) n * max(1, as.numeric(Sys.getenv("SHAREDMEM_TEST_FUZZ", "1")))

# Python that tells what NumPy makes of each file of the folder sys.argv[1]: a line an array, or one with "refused".
numpy_oracle <- c(
  "import os, resource, warnings", "warnings.simplefilter('ignore')", "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))",
  "def say(f, name, a):",
  "    a = np.asarray(a)",
  "    a = a.astype(a.dtype.newbyteorder('='))",
  "    name = name.encode('latin1', 'replace').hex() or '-'",
  "    print(f, name, a.dtype.str[1:], 'x'.join(map(str, a.shape)) or '-', a.tobytes('F').hex() or '-')",
  "for f in sorted(os.listdir(sys.argv[1])):",
  "    try:",
  "        r = np.load(os.path.join(sys.argv[1], f), allow_pickle=False)",
  "        if not hasattr(r, 'files'): say(f, '', r); continue",
  "        got = [(k, r[k]) for k in r.files if k + '.npy' in r.zip.namelist()]",
  "        if not got: print(f, '-', 'none', '-', '-')",
  "        for k, a in got: say(f, k, a)",
  "    except (Exception, MemoryError) as e: print(f, 'refused', type(e).__name__)")

# In a session of its own: the same lines from read_npy(), and by how many MB the session's address space grew.
r_reader <- quote({
  peak <- function() as.numeric(gsub("[^0-9]", "", grep("^VmPeak", readLines("/proc/self/status"), value = TRUE))) / 1024
  hex <- function(bytes) if (length(bytes)) paste(format(bytes), collapse = "") else "-"
  say <- function(f, name, x) {
    bytes <- tempfile()
    tofile(x, bytes)
    shape <- if (is.null(dim(x)) && length(x) == 1L && scalar(x)) numeric() else if (is.null(dim(x))) length(x) else dim(x)
    code <- sub("raw", "u1", dtype(x))
    on.exit(unlink(bytes))
    paste(f, hex(charToRaw(name)), code, if (length(shape)) paste(shape, collapse = "x") else "-", hex(readBin(bytes, "raw", 1e6)))
  }
  scalar <- function(x) !length(shared_path(x)$shape)
  one <- function(f) {
    path <- file.path(dir, f)
    x <- tryCatch(read_npy(path, np = 1), sharedmem_file_error = function(e) NULL)
    if (is.null(x)) return(paste(f, "refused"))
    if (is.list(x)) return(if (length(x)) mapply(say, f, names(x), x) else paste(f, "- none - -"))
    y <- if (endsWith(f, ".npy")) tryCatch(memmap(path), sharedmem_file_error = function(e) x) else x
    a <- say(f, "", x)
    if (identical(a, say(f, "", y))) a else paste(f, "memmap differs")
  }
  good <- tempfile(fileext = ".npy") # what the first thread and the first array reserve is no part of it
  write_npy(copy(runif(10)), good)
  read_npy(good)
  before <- peak()
  lines <- unlist(lapply(sort(list.files(dir), method = "radix"), one))
  answer(list(lines = unname(lines), grown = peak() - before))
})

# Writes each of `files` (raw vectors) into a folder, has both read them, and gives what differs.
differences <- function(files, ext) {
  dir <- tempfile("fuzz")
  dir.create(dir)
  on.exit(unlink(dir, recursive = TRUE))
  for (i in seq_along(files)) writeBin(files[[i]], file.path(dir, sprintf("%06d.%s", i, ext)))
  r <- run_script(r_reader, vars = list(dir = dir), timeout = 600)
  expect_script_ok(r)
  numpy <- run_numpy(numpy_oracle, dir)
  ours <- r$value$lines
  taken <- ours[!grepl(" refused$", ours)]
  expect_lt(r$value$grown, 100)
  list(taken = length(taken), wrong = setdiff(taken, numpy), numpy = numpy)
}

npy_tokens <- c("0", "1", "2", "3", "9", "4294967296",
                "(", ")", "[", "]", "{", "}", ",", ":", "'", "\"", "<", ">", "|", "=", "L",
                "True", "False",
                "f8", "i4", "u1", "S3", "b1", "c16", "U2", "O", "V8", " ", "\n", "\\", "-", "_", "#", "descr", "fortran_order", "shape")

# The bytes b with one to three of them changed, taken out, put in, doubled or cut off; most of it among the first `front`.
mutate <- function(b, front, tokens = npy_tokens) {
  for (k in seq_len(sample(3L, 1L, prob = c(4, 2, 1)))) {
    if (!length(b)) return(raw(1))
    at <- sample.int(if (runif(1) < 0.9) min(front, length(b)) else length(b), 1L)
    token <- charToRaw(sample(tokens, 1L))
    b <- switch(sample(6L, 1L), replace(b, at, as.raw(sample(0:255, 1L))), b[-at], append(b, token, at - 1L),
                replace(b, at - 1L + seq_along(token), token), append(b, b[at:min(at + 7L, length(b))], at), b)
  }
  if (runif(1) < 0.05) b[seq_len(sample.int(length(b), 1L))] else b
}

with_seed_said <- function() {
  seed <- as.integer(Sys.time()) %% 1e6
  cat(sprintf("test-npy-fuzz.R: seed %d\n", seed))
  set.seed(seed)
}

# What NumPy writes by `code` into files of the folder `d`, as a list of raw vectors.
numpy_files <- function(code) {
  dir <- tempfile("seeds")
  dir.create(dir)
  on.exit(unlink(dir, recursive = TRUE))
  run_numpy(c("d = sys.argv[1] + '/'", code), dir)
  lapply(list.files(dir, full.names = TRUE), function(f) readBin(f, "raw", 1e5))
}

test_that("what read_npy() takes of damaged .npy files is what NumPy takes, value by value; all else is a classed error", {
  skip_without_numpy()
  skip_if_not(file.exists("/proc/self/status"))
  with_seed_said()
  seeds <- numpy_files(c(
    "from numpy.lib import format", "k = 0",
    "for t in ('<f8', '>f8', '<f4', 'i1', '>i2', '<i4', 'i8', 'u1', 'u2', '>u4', 'c16', '?', 'S3', 'U2', 'f2', 'u8'):",
    "    for shape in ((), (4,), (2, 3), (3, 1, 2), (0, 3), (2, 1, 2, 2)):",
    "        for order in 'FC':",
    "            k += 1",
    "            a = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(t), order=order)",
    "            with open(d + str(k) + '.npy', 'wb') as f: format.write_array(f, a, ((1, 0), (2, 0), (3, 0))[k % 3])"))
  files <- lapply(seq_len(fuzz_rounds(1500)), function(i) mutate(seeds[[sample(length(seeds), 1L)]], 75))
  d <- differences(files, "npy")
  expect_identical(d$wrong, character())
  expect_gt(d$taken, length(files) / 20)
})

test_that("what read_npy() takes of damaged archives is what NumPy takes, value by value; all else is a classed error", {
  skip_without_numpy()
  skip_if_not(file.exists("/proc/self/status"))
  with_seed_said()
  seeds <- numpy_files(c("a = dict(a=np.arange(6.).reshape(2, 3), bc=np.arange(5, dtype='>i2'))",
                         "np.savez(d + '1', **a)", "np.savez_compressed(d + '2', **a)", "np.savez(d + '3')",
                         "np.savez_compressed(d + '4', x=np.array(5, 'u1'))"))
  files <- lapply(seq_len(fuzz_rounds(500)), function(i) {
    b <- seeds[[sample(length(seeds), 1L)]]
    if (runif(1) < 0.5) mutate(b, length(b)) else rev(mutate(rev(b), 180))
  })
  d <- differences(files, "npz")
  expect_identical(d$wrong, character())
  expect_gt(d$taken, length(files) / 20)
})
