/**
 * Shell function: a process puts itself into cgroups and becomes a command. Arguments: how many cgroups, these, the
 * command. Where it may not, the cgroup is written to the file `$errand_unheld` and it ends with `UNHELD`. Builtins only.
 */
export const ENTER = `
errand_enter() {
  errand_left=$1
  shift
  while [ "$errand_left" -gt 0 ]; do
    { printf 0 >"$1/cgroup.procs"; } 2>/dev/null || {
      printf '%s\\n' "$1" >"$errand_unheld"
      exit 75
    }
    shift
    errand_left=$((errand_left - 1))
  done
  exec "$@" 3>&- 4>&-
}
`
export const UNHELD = 75

/** Why a command was not begun. */
export const unheldText = (cgroup: string): string =>
  `It could not be put under its limits: ${cgroup}/cgroup.procs could not be written to.`
