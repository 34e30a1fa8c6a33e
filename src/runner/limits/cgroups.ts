import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Cgroups that a process is in, as folders of the mounted hierarchies. */
export interface CgroupPlaces {
  /** Folders by controller: memory, cpu, cpuacct, pids … */
  v1: ReadonlyMap<string, string>
  v2: string | undefined
}

interface Mount {
  root: string
  point: string
  type: string
  options: readonly string[]
}

/** Parses the texts of /proc/self/mountinfo and /proc/self/cgroup. */
export function cgroupPlaces(mountinfo: string, cgroup: string): CgroupPlaces {
  const mounts = mountinfo.split('\n').flatMap((line) => mountOf(line) ?? [])
  const v1 = new Map<string, string>()
  let v2: string | undefined
  for (const line of cgroup.split('\n')) {
    const [number, controllers, ...rest] = line.split(':')
    if (controllers === undefined || rest.length === 0) continue
    const path = rest.join(':')
    if (number === '0' && controllers === '') {
      const mount = mounts.find(({ type }) => type === 'cgroup2')
      v2 = mount && folderOf(mount, path)
      continue
    }
    for (const controller of controllers.split(',')) {
      const mount = mounts.find(({ type, options }) => type === 'cgroup' && options.includes(controller))
      const folder = mount && folderOf(mount, path)
      if (folder !== undefined) v1.set(controller, folder)
    }
  }
  return { v1, v2 }
}

function mountOf(line: string): Mount | undefined {
  const [before, after] = line.split(' - ')
  const [, , , root, point] = before!.split(' ')
  const [type, , options] = after?.split(' ') ?? []
  if (point === undefined || options === undefined || !type?.startsWith('cgroup')) return undefined
  return { root: unescaped(root!), point: unescaped(point), type, options: options.split(',') }
}

/** Returns the folder of a cgroup; undefined if it is outside the mount, as a container may see it. */
function folderOf({ root, point }: Mount, path: string): string | undefined {
  const below =
    root === '/' ? path : path === root ? '/' : path.startsWith(`${root}/`) ? path.slice(root.length) : ''
  if (below === '' || below.split('/').includes('..')) return undefined
  return below === '/' ? point : point + below
}

const unescaped = (text: string) =>
  text.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/** Removes a cgroup, and those that its processes created below it; returns false if a process is still in one. */
export function removeCgroup(folder: string): boolean {
  try {
    for (const name of cgroupsBelow(folder)) removeCgroup(join(folder, name))
    rmdirSync(folder)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}

/** Creates the cgroup if it does not exist; returns false if that is not allowed. */
export function makeCgroup(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true })
    return true
  } catch {
    return false
  }
}

/** Returns the names of the cgroups below it; none if it is gone. */
export function cgroupsBelow(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  } catch {
    return []
  }
}

/** Reads a control file; undefined if it does not exist, or cannot be read at the moment. */
export function readControl(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}

/** Returns the number in the file, or the number after `key` in it. */
export function readNumber(path: string, key?: string): number | undefined {
  const text = readControl(path)
  if (text === undefined) return undefined
  const value = key === undefined ? text : new RegExp(`^${key} (\\d+)$`, 'm').exec(text)?.[1]
  return value !== undefined && /^\d+\s*$/.test(value) ? Number(value) : undefined
}

export function readPids(folder: string): number[] {
  const lines = readControl(`${folder}/cgroup.procs`)?.split('\n') ?? []
  return lines.map(Number).filter((pid) => pid > 0)
}

/** Writes a control file. Throws if the kernel refuses the value. */
export function writeControl(path: string, value: string | number): void {
  writeFileSync(path, String(value))
}

/** Writes a control file; returns false if the kernel has no such file, or refuses the value. */
export function tryControl(path: string, value: string | number): boolean {
  try {
    writeControl(path, value)
    return true
  } catch {
    return false
  }
}

/**
 * Shell function that puts a process into cgroups and then runs a command. Arguments: the number of cgroups, these
 * cgroups, the command. If a cgroup is not allowed, it is written to the file `$errand_unheld`, and the process ends
 * with `UNHELD`. Uses only builtins.
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

/** Says why a command did not begin. */
export const unheldText = (cgroup: string): string =>
  `Its limits could not be applied: ${cgroup}/cgroup.procs could not be written.`
