/* r_index_aware.c: who writes. An assignment works on the memory itself in the user's own code and in packages that know of shared
 * arrays; elsewhere on a copy. The first namespace from the frame of the assignment outwards decides.
 */
#include <Rversion.h>

#include "r_index.h"
#include "r_util.h"

#define KNOWN_MAX 32

#if R_VERSION < R_Version(4, 5, 0)
#define R_ParentEnv ENCLOS
#endif

/* R/aware.R decides, and is asked once a package that knows of shared arrays. */
static bool namespace_writes(SEXP ns, SEXP frame) {
  static SEXP known[KNOWN_MAX]; /* such packages; preserved, so that an address stands for one namespace */
  static int nknown = 0;
  for (int k = 0; k < nknown; k++)
    if (known[k] == ns) return true;
  int answer = Rf_asInteger(r_call2("package_writes", ns, frame));
  if (answer == 2 && nknown < KNOWN_MAX) R_PreserveObject(known[nknown++] = ns);
  return answer > 0;
}

bool r_index_writes(SEXP frame) {
  static SEXP marker = NULL;
  if (!marker) marker = Rf_install(".__NAMESPACE__.");
  if (TYPEOF(frame) != ENVSXP) return true; /* the method was called by its name */
  for (SEXP e = frame; e != R_GlobalEnv && e != R_BaseEnv && e != R_EmptyEnv; e = R_ParentEnv(e))
    if (e == R_BaseNamespace || (R_existsVarInFrame(e, marker) && R_IsNamespaceEnv(e))) return namespace_writes(e, frame);
  return true;
}

SEXP ffi_index_writes(SEXP frame) { return Rf_ScalarLogical(r_index_writes(frame)); }
