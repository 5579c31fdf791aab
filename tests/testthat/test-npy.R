dtypes <- c("f8", "f4", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "c16", "b1", "S5")
shapes <- list(numeric(), 7, 0, c(3, 4), c(1, 5), c(5, 1), c(4, 0, 3), c(2, 3, 4), c(3, 2, 4, 5), c(130, 70), c(33, 1, 47))

# The bytes of a .npy file with this dictionary.
npy_bytes <- function(dict, data = raw(), version = c(1, 0), magic = c(as.raw(0x93), charToRaw("NUMPY"))) {
  dict <- paste0(dict, "\n")
  n <- nchar(dict, "bytes")
  size <- if (version[1L] == 1) c(n %% 256, n %/% 256) else c(n %% 256, n %/% 256 %% 256, n %/% 65536, 0)
  c(magic, as.raw(version), as.raw(size), charToRaw(dict), data)
}
npy_file <- function(..., frame = parent.frame()) {
  path <- tempfile(fileext = ".npy")
  do.call(on.exit, list(substitute(unlink(p), list(p = path)), add = TRUE), envir = frame)
  writeBin(npy_bytes(...), path)
  path
}
dict <- function(descr, fortran = "False", shape = "(3,)")
  sprintf("{'descr': %s, 'fortran_order': %s, 'shape': %s, }", descr, fortran, shape)
file_error <- function(expr) expect_error(expr, class = "sharedmem_file_error")

values_for <- function(dtype, n) {
  if (dtype == "b1") return(rep_len(c(TRUE, FALSE, FALSE), n))
  if (startsWith(dtype, "S")) return(substr(rep_len(c("", "a", "pear", "seven", "x y"), n), 1, 5))
  if (dtype == "c16") return(complex(real = seq_len(n) / 8, imaginary = -seq_len(n)))
  if (startsWith(dtype, "f")) return(seq_len(n) / 8 - 3)
  if (startsWith(dtype, "u")) return(seq_len(n) %% 251)
  seq_len(n) %% 251 - 125
}

test_that("what NumPy saves, read_npy() reads: every dtype, byte order, order of elements and number of extents", {
  skip_without_numpy()
  dir <- tempfile("npy")
  dir.create(dir)
  on.exit(unlink(dir, recursive = TRUE))
  for (dt in dtypes) for (k in seq_along(shapes)) {
    x <- empty(shapes[[k]], dt)
    if (length(x)) x[] <- values_for(dt, length(x))
    tofile(x, file.path(dir, sprintf("%s-%d.bin", dt, k)))
  }
  code <- c("import os, glob", "os.chdir(sys.argv[1])", "shapes = eval(sys.argv[2])",
            "for f in glob.glob('*.bin'):",
            "  dt, k = f[:-4].split('-')",
            "  a = np.fromfile(f, dt).reshape(shapes[int(k) - 1], order='F')",
            "  for e in '<>':",
            "    for o in 'CF':",
            "      np.save(f[:-4] + '-' + o + {'<': 'le', '>': 'be'}[e] + '.npy', np.asarray(a.astype(a.dtype.newbyteorder(e)), order=o))")
  py_shapes <- paste0("[", paste0("(", vapply(shapes, function(s) paste0(s, ",", collapse = ""), ""), ")", collapse = ","), "]")
  run_numpy(code, dir, sub("\\(,\\)", "()", py_shapes))
  files <- list.files(dir, "[.]npy$")
  expect_length(files, length(dtypes) * length(shapes) * 4L)
  same <- logical()
  for (f in files) {
    part <- strsplit(f, "-")[[1L]]
    shape <- shapes[[as.integer(part[2L])]]
    x <- read_npy(file.path(dir, f), np = 2)
    want <- fromfile(file.path(dir, sprintf("%s-%s.bin", part[1L], part[2L])), part[1L])
    same[f] <- identical(as.vector(x[]), as.vector(want[])) && dtype(x) == part[1L] && length(x) == prod(shape) &&
      identical(as.numeric(dim(x)), if (length(shape) > 1L) shape else numeric())
  }
  expect_identical(names(same)[!same], character())
})

test_that("what write_npy() writes, NumPy loads: every dtype, both orders, 0 to 4 extents", {
  skip_without_numpy()
  dir <- tempfile("npy")
  dir.create(dir)
  on.exit(unlink(dir, recursive = TRUE))
  for (dt in dtypes) for (k in seq_along(shapes)) for (order in c("F", "C")) {
    x <- empty(shapes[[k]], dt)
    if (length(x)) x[] <- values_for(dt, length(x))
    write_npy(x, file.path(dir, sprintf("%s-%d-%s.npy", dt, k, order)), order)
    tofile(x, file.path(dir, sprintf("%s-%d-%s.bin", dt, k, order)))
  }
  out <- run_numpy(c("import os, glob", "os.chdir(sys.argv[1])", "shapes = eval(sys.argv[2])", "n = 0",
    "for f in glob.glob('*.npy'):",
    "  dt, k, o = f[:-4].split('-')",
    "  a = np.load(f)",
    "  b = np.fromfile(f[:-4] + '.bin', dt).reshape(shapes[int(k) - 1], order='F')",
    "  assert a.dtype == np.dtype(dt) and a.shape == b.shape and (a == b).all(), f",
    "  assert a.flags.c_contiguous if o == 'C' else a.flags.f_contiguous, f",
    "  assert (os.path.getsize(f) - a.nbytes) % 64 == 0, f",
    "  assert np.load(f, mmap_mode='r').shape == a.shape or a.size == 0, f",
    "  n += 1",
    "print(n)"), dir, sub("\\(,\\)", "()", paste0("[", paste0("(", vapply(shapes, function(s) paste0(s, ",", collapse = ""), ""), ")",
                                                               collapse = ","), "]")))
  expect_identical(out, as.character(length(dtypes) * length(shapes) * 2L))
})

test_that("R's own vectors are written as what they are", {
  path <- tempfile(fileext = ".npy")
  on.exit(unlink(path))
  m <- matrix(c(1.5, NA, NaN, Inf, -0, 6), 2)
  for (x in list(m, 1:3, c(TRUE, FALSE), as.raw(0:3), 1i, c("a", "\u00e4\u00f6"), array(1:24, 2:4), numeric())) {
    for (order in c("F", "C")) {
      expect_identical(write_npy(x, path, order), x)
      y <- read_npy(path)
      if (is.raw(x)) expect_identical(y[], as.integer(x)) else expect_identical(y[], x)
    }
  }
  expect_identical(list.files(dirname(path), basename(path)), basename(path))
})

test_that("a large array is turned on several threads, and is what aperm() makes of it", {
  path <- tempfile(fileext = ".npy")
  on.exit(unlink(path))
  shapes <- list(c(1201, 907), c(3, 500, 700), c(700, 500, 3), c(2, 3e5, 2), c(37, 41, 29, 23), c(1e6, 2))
  for (shape in shapes) for (dt in c("f8", "u1", "S3")) {
    x <- empty(shape, dt)
    x[] <- if (dt == "S3") sprintf("%03d", seq_along(x) %% 1000L) else seq_along(x) %% 251
    write_npy(x, path, "C")
    expect_identical(as.vector(memmap(path, shape = rev(shape))[]), as.vector(aperm(x[])))
    y <- read_npy(path, np = 3)
    expect_identical(y[], x[])
  }
})

test_that("NA stays NA for R where NumPy can hold something for it, and is an error where not", {
  path <- tempfile(fileext = ".npy")
  on.exit(unlink(path))
  for (x in list(c(1L, NA), c(1, NA, NaN), c(1i, NA))) {
    write_npy(x, path)
    expect_identical(read_npy(path)[], x)
  }
  for (x in list(c(TRUE, NA), c("a", NA))) {
    expect_error(write_npy(x, path), class = "sharedmem_value_error")
    expect_error(write_npy(copy(x), path), class = "sharedmem_value_error")
  }
})

test_that("bytes of a file that would be NA in a shared array, and stand for something else there, are refused", {
  file_error(read_npy(npy_file(dict("'|b1'"), as.raw(c(1, 0, 0x80)))))
  expect_identical(read_npy(npy_file(dict("'|b1'"), as.raw(c(1, 0, 1))))[], c(TRUE, FALSE, TRUE))
  e <- file_error(read_npy(npy_file(dict("'|S2'"), as.raw(c(0x61, 0x62, 0xff, 0x62, 0x63, 0)))))
  expect_match(conditionMessage(e), "element 2", fixed = TRUE)
  expect_identical(read_npy(npy_file(dict("'|S2'"), as.raw(c(0x61, 0x62, 0x62, 0xff, 0x63, 0))))[c(1, 3)], c("ab", "c"))
})

test_that("factors and dates, which are numbers only inside, are refused", {
  for (x in list(factor("a"), Sys.Date(), Sys.time(), list(1), sum, NULL)) {
    expect_identical(expect_error(write_npy(x, tempfile()), class = "sharedmem_argument_error")$arg, "x")
    if (is.atomic(x) && !is.null(x)) expect_error(write_npy(copy(x), tempfile()), class = "sharedmem_argument_error")
  }
})

test_that("an integer64 array is i8 on the other side", {
  skip_if_not_installed("bit64")
  path <- tempfile(fileext = ".npy")
  on.exit(unlink(path))
  x <- bit64::as.integer64(c("9007199254740993", "-1"))
  write_npy(x, path)
  y <- read_npy(path)
  expect_identical(dtype(y), "i8")
  expect_true(all(bit64::as.integer64(y) == x))
})

test_that("what shared arrays have no dtype for is refused by name", {
  refused <- function(descr) conditionMessage(file_error(read_npy(npy_file(dict(descr), raw(64)))))
  expect_match(refused("'<U5'"), "Unicode")
  expect_match(refused("'|O'"), "objects")
  expect_match(refused("'|V8'"), "void")
  expect_match(refused("[('a', '<f8'), ('b', '<i4')]"), "records")
  expect_match(refused("('<f8', (2,))"), "records")
  expect_match(refused("'<M8[ns]'"), "dates")
  expect_match(refused("'<m8[s]'"), "time differences")
  expect_match(refused("'<u8'"), "without sign")
  expect_match(refused("'<f2'"), "half")
  expect_match(refused("'<f16'"), "extended")
  expect_match(refused("'<c8'"), "complex")
  expect_match(refused("'|S0'"), "no bytes")
  expect_match(refused("'<q9'"), "q9")
  path <- tempfile()
  on.exit(unlink(path))
  writeBin(as.raw(c(0x80, 4, 0x95, 0, 0, 0, 0, 0, 0, 0)), path)
  expect_match(conditionMessage(file_error(read_npy(path))), "pickle")
})

test_that("what Python writes otherwise than NumPy's newest is taken: versions 2 and 3, key order, quotes, longs, blanks", {
  data <- writeBin(c(1, 2, 3), raw())
  good <- function(...) expect_identical(read_npy(npy_file(..., data = data))[], c(1, 2, 3))
  little <- .Platform$endian == "little"
  d <- if (little) "'<f8'" else "'>f8'"
  good(dict(d))
  good(dict(d), version = c(2, 0))
  good(dict(d), version = c(3, 0))
  good(dict(d, shape = "(3L,)"))
  good(dict(d, "True", "( 3 , )"))
  good(dict("\"=f8\""))
  good(dict("'f8'"))
  good(sprintf("{\"shape\":(3,),\"descr\":%s,\"fortran_order\":False}   ", d))
  for (shape in c("(3)", "(03,)", "3,")) file_error(read_npy(npy_file(dict(d, shape = shape), data = data)))
  file_error(read_npy(npy_file(dict(d, shape = "(3L,)"), data = data, version = c(3, 0))))
})

test_that("a header that is damaged, cut off, or promises more than the file holds, is an error before memory is asked for", {
  bad <- function(...) file_error(read_npy(npy_file(...)))
  data <- raw(24)
  bad(dict("'<f8'", shape = "(4,)"), data)
  bad(dict("'<f8'", shape = "(1000000000000,)"), data)
  bad(dict("'<f8'", shape = "(4294967296, 4294967296)"), data)
  bad(dict("'<f8'", shape = "(0, 4503599627370496, 4503599627370496)"), data)
  bad(dict("'<f8'", shape = "(99999999999999999999999999,)"), data)
  bad(dict("'<f8'", shape = "(-3,)"), data)
  bad(dict("'<f8'", shape = "3"), data)
  bad(dict("'<f8'", shape = "(3,,)"), data)
  bad(dict("'<f8'", shape = paste0("(", strrep("1,", 65), ")")), data)
  bad(dict("'|S2147483648'", shape = "(1,)"), data)
  bad(dict("'<f8'", "Maybe"), data)
  bad(dict("8"), data)
  bad("{'descr': '<f8', 'shape': (3,)}", data)
  bad("{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (3,)}", data)
  bad("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), 'extra': 1}", data)
  bad(paste(dict("'<f8'"), "exit()"), data)
  bad(dict("'<f8'"), data, version = c(4, 0))
  bad(dict("'<f8'"), data, version = c(1, 1))
  bad(dict("'<f8'"), data, magic = charToRaw("\x92NUMPY"))
  bad("", data)
  for (n in 0:9) {
    path <- tempfile()
    writeBin(npy_bytes(dict("'<f8'"), data)[seq_len(n)], path)
    file_error(read_npy(path))
    unlink(path)
  }
  file_error(read_npy(tempfile()))
  file_error(read_npy(tempdir()))
  path <- tempfile()
  on.exit(unlink(path))
  writeBin(c(npy_bytes(dict("'<f8'"), raw(24), c(2, 0))[1:8], as.raw(c(0, 0, 0, 64)), raw(1000)), path)
  file_error(read_npy(path))
  writeBin(c(npy_bytes(dict("'<f8'"), raw(24), c(2, 0))[1:8], as.raw(c(0, 0, 2, 0)), raw(200000)), path)
  file_error(read_npy(path))
})

test_that("headers with bytes changed, cut out and cut off by the thousand give an array inside the file or a classed error", {
  seed <- as.integer(Sys.time()) %% 1e6
  cat(sprintf("test-npy.R: seed %d\n", seed))
  set.seed(seed)
  whole <- npy_bytes(dict("'<f8'", "False", "(3, 2)"), raw(48))
  path <- tempfile(fileext = ".npy")
  on.exit(unlink(path))
  read <- bad <- 0L
  letters_of <- charToRaw("0123456789()[]{},:'\"<>|LTrueFalsfortran_order descr shape-iucbSUOVMm8\\")
  for (i in 1:3000) {
    b <- whole
    for (k in seq_len(sample(3, 1))) {
      at <- sample.int(length(b), 1)
      switch(sample(5, 1), b[at] <- as.raw(sample(0:255, 1)), b[at] <- sample(letters_of, 1), b <- b[-at],
             b <- append(b, sample(letters_of, 1), at), b <- b[seq_len(at)])
      if (!length(b)) b <- raw(1)
    }
    writeBin(b, path)
    x <- tryCatch(read_npy(path, np = 1), sharedmem_file_error = function(e) NULL)
    if (is.null(x)) next
    read <- read + 1L
    y <- tryCatch(memmap(path), sharedmem_file_error = function(e) NULL)
    bad <- bad + (nbytes(x) > length(b) || (!is.null(y) && !identical(suppressWarnings(y[]), suppressWarnings(x[]))))
  }
  expect_identical(bad, 0L)
  expect_gt(read, 100L)
})

test_that("memmap() of a .npy file is the file itself, in R's order", {
  path <- tempfile(fileext = ".npy")
  on.exit(unlink(path))
  write_npy(matrix(as.double(1:6), 2), path)
  x <- memmap(path, mode = "r+")
  expect_identical(x[], matrix(as.double(1:6), 2))
  x[2, 3] <- 60
  flush(x)
  expect_identical(read_npy(path)[2, 3], 60)
  expect_identical(memmap(path)[2, 3], 60)
  expect_error(memmap(path)[1] <- 1, class = "sharedmem_value_error")
  expect_identical(memmap(path, "f8")[2, 3], 60)
  expect_identical(expect_error(memmap(path, "f4"), class = "sharedmem_argument_error")$arg, "dtype")
  expect_identical(dim(memmap(path, shape = c(3, 2))), c(3L, 2L))
  expect_identical(expect_error(memmap(path, shape = c(3, 3)), class = "sharedmem_argument_error")$arg, "shape")
  expect_length(memmap(path, "u1", offset = 0), file.size(path))
})

test_that("memmap() of a .npy file in C order is an error that says what to do, unless its extents are asked for reversed", {
  path <- tempfile(fileext = ".npy")
  on.exit(unlink(path))
  write_npy(matrix(1:6, 2), path, "C")
  expect_match(conditionMessage(file_error(memmap(path))), "read_npy")
  expect_identical(memmap(path, shape = c(3, 2))[], t(matrix(1:6, 2)))
  write_npy(1:6, path, "C")
  expect_identical(memmap(path)[], 1:6)
  writeBin(npy_bytes(dict("'>i4'"), writeBin(1:3, raw(), endian = "big")), path)
  expect_match(conditionMessage(file_error(memmap(path))), "byte order")
})

test_that("memmap() in mode \"w+\" makes a .npy file that NumPy loads", {
  path <- tempfile(fileext = ".npy")
  on.exit(unlink(path))
  x <- memmap(path, "i2", c(2, 3), mode = "w+")
  expect_identical(x[], matrix(0L, 2, 3))
  x[2, 3] <- 7L
  flush(x)
  expect_identical(read_npy(path)[], x[])
  skip_without_numpy()
  expect_identical(run_numpy("a = np.load(sys.argv[1]); print(a.shape, a.dtype, a[1, 2])", path), "(2, 3) int16 7")
})

test_that("NumPy's memory map and R's are one memory", {
  skip_without_numpy()
  path <- tempfile(fileext = ".npy")
  on.exit(unlink(path))
  write_npy(matrix(0, 3, 4), path)
  x <- memmap(path, mode = "r+")
  run_numpy(c("a = np.load(sys.argv[1], mmap_mode='r+')", "a[2, 1] = 21", "a.flush()"), path)
  expect_identical(x[3, 2], 21)
})

test_that("archives give their arrays by name, stored and deflated alike", {
  skip_without_numpy()
  dir <- tempfile("npz")
  dir.create(dir)
  on.exit(unlink(dir, recursive = TRUE))
  run_numpy(c("import os", "os.chdir(sys.argv[1])",
              "a = dict(m=np.arange(6.).reshape(2, 3), f=np.asfortranarray(np.arange(6, dtype='>i4').reshape(2, 3)), s=np.array(5, 'i2'),",
              "  e=np.zeros((0, 3)), t=np.array([b'ab', b'c']), long=np.arange(1500000) % 1000)",
              "np.savez('stored.npz', **a)", "np.savez_compressed('deflated.npz', **a)", "np.savez('none.npz')",
              "np.savez('mixed.npz', x=np.arange(3.), o=np.array([{}], dtype=object), u=np.array(['a']))"), dir)
  for (f in c("stored.npz", "deflated.npz")) {
    x <- read_npy(file.path(dir, f))
    expect_identical(names(x), c("m", "f", "s", "e", "t", "long"))
    expect_identical(x$m[], matrix(0:5 + 0, 2, byrow = TRUE))
    expect_identical(x$f[], matrix(0:5, 2, byrow = TRUE))
    expect_identical(x$s[], 5L)
    expect_identical(dim(x$e), c(0L, 3L))
    expect_identical(x$t[], c("ab", "c"))
    expect_identical(x$long[], as.numeric(0:1499999 %% 1000))
    expect_identical(names(read_npy(file.path(dir, f), members = "s")), "s")
  }
  expect_length(read_npy(file.path(dir, "none.npz")), 0L)
  mixed <- file.path(dir, "mixed.npz")
  expect_match(conditionMessage(file_error(read_npy(mixed))), "member 'o'")
  expect_identical(read_npy(mixed, members = "x")$x[], c(0, 1, 2))
  expect_error(read_npy(mixed, members = "z"), class = "sharedmem_argument_error")
})

test_that("an archive whose bytes, names or number of members do not fit each other is an error", {
  skip_without_numpy()
  path <- tempfile(fileext = ".npz")
  on.exit(unlink(path))
  run_numpy("np.savez(sys.argv[1], a=np.arange(3.), b=np.arange(2))", path)
  whole <- readBin(path, "raw", 1e5)
  broken <- function(at, to) {
    writeBin(replace(whole, at - 1L + seq_along(to), as.raw(to)), path)
    file_error(read_npy(path))
  }
  names_at <- grepRaw("b.npy", whole, all = TRUE, fixed = TRUE)
  end <- length(whole) - 21L
  broken(grepRaw(writeBin(1, raw()), whole, fixed = TRUE), 7)                       # an element: the checksum
  broken(names_at[1L], charToRaw("c"))                                              # the member's own name
  broken(names_at[2L], charToRaw("a"))                                              # the same name twice
  broken(end + 8L, c(1, 0, 1, 0))                                                   # fewer members than the directory has
  broken(end + 16L, xor(whole[end + 16L], as.raw(1)))                             # the directory elsewhere
  end_mark <- as.raw(c(0x50, 0x4b, 5, 6))
  writeBin(c(end_mark, raw(1), end_mark, raw(17)), path) # the last record counts, and is cut off
  file_error(read_npy(path))
  writeBin(c(whole[seq_along(whole) < length(whole) - 1L], as.raw(c(3, 0)), charToRaw("abc")), path) # a comment
  expect_length(read_npy(path), 2L)
  writeBin(whole, path)
  expect_length(read_npy(path), 2L)
  expect_match(conditionMessage(file_error(memmap(path))), "read_npy")
})

test_that("bad arguments are errors that name them", {
  arg <- function(expr) expect_error(expr, class = "sharedmem_argument_error")$arg
  path <- npy_file(dict("'|u1'"), raw(3))
  expect_identical(arg(read_npy(1)), "file")
  expect_identical(arg(read_npy(path, np = 0)), "np")
  expect_identical(arg(read_npy(path, members = "a")), "members")
  expect_identical(arg(read_npy(path, members = 1)), "members")
  expect_identical(arg(write_npy(1, 1)), "file")
  expect_identical(arg(write_npy(1, path, "K")), "order")
  file_error(write_npy(1, file.path(path, "below.npy")))
  expect_length(read_npy(path), 3L)
})

test_that("an error or interrupt while writing leaves the old file and nothing beside it", {
  dir <- tempfile("npy")
  dir.create(dir)
  on.exit(unlink(dir, recursive = TRUE))
  path <- file.path(dir, "a.npy")
  write_npy(1:3, path)
  expect_error(write_npy(c("a", NA), path), class = "sharedmem_value_error")
  expect_identical(read_npy(path)[], 1:3)
  expect_identical(list.files(dir), "a.npy")
})

test_that("a file that is replaced or cut while it is mapped is an error, not a crash", {
  path <- tempfile(fileext = ".npy")
  on.exit(unlink(path))
  write_npy(matrix(0, 1000, 1000), path)
  x <- memmap(path)
  writeBin(readBin(path, "raw", 5000), path)
  file_error(sum(x[]))
  file_error(read_npy(path))
  write_npy(matrix(1, 1000, 1000), path)
  y <- memmap(path)
  writeBin(readBin(path, "raw", 5000), path)
  expect_error(write_npy(y, tempfile(), "C"), class = "sharedmem_file_error")
})

test_that("3 GB go to NumPy and back, in either order", {
  skip_if_not(nzchar(Sys.getenv("SHAREDMEM_TEST_LARGE")), "SHAREDMEM_TEST_LARGE is not set")
  skip_without_numpy()
  path <- tempfile(fileext = ".npy")
  on.exit(unlink(path))
  shape <- c(30000, 12500)
  x <- empty(shape)
  x[1, 1] <- 1
  x[30000, 12500] <- 2
  x[7, 12000] <- 3
  for (order in c("F", "C")) {
    write_npy(x, path, order)
    expect_identical(run_numpy("a = np.load(sys.argv[1]); print(a.shape, a[0, 0], a[-1, -1], a[6, 11999], a.sum())", path),
                     "(30000, 12500) 1.0 2.0 3.0 6.0")
    y <- read_npy(path)
    expect_identical(c(y[1, 1], y[30000, 12500], y[7, 12000], sum(y)), c(1, 2, 3, 6))
    rm(y)
    gc()
  }
})
