import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** The cgroups that a process is in, as folders of the mounted hierarchies. */
export interface CgroupPlaces {
  /** By controller: memory, cpu, cpuacct, pids … */
  v1: ReadonlyMap<string, string>
  v2: string | undefined
}

interface Mount {
  root: string
  point: string
  type: string
  options: readonly string[]
}

/** From the texts of /proc/self/mountinfo and /proc/self/cgroup. */
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

/** Undefined for a cgroup outside what is mounted, as a container may see it. */
function folderOf({ root, point }: Mount, path: string): string | undefined {
  const below =
    root === '/' ? path : path === root ? '/' : path.startsWith(`${root}/`) ? path.slice(root.length) : ''
  if (below === '' || below.split('/').includes('..')) return undefined
  return below === '/' ? point : point + below
}

const unescaped = (text: string) =>
  text.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/** Removes a cgroup, and those that its processes made below it; false where a process is still in one. */
export function removeCgroup(folder: string): boolean {
  try {
    for (const name of cgroupsBelow(folder)) removeCgroup(join(folder, name))
    rmdirSync(folder)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}

/** Makes it where it is not there; false where that is not allowed. */
export function makeCgroup(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true })
    return true
  } catch {
    return false
  }
}

/** Names of the cgroups below it; none where it is gone. */
export function cgroupsBelow(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  } catch {
    return []
  }
}

/** Undefined where there is no such file, or it cannot be read just now. */
export function readControl(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}

/** The number that the file holds, or that stands after `key` in it. */
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

/** Throws as the kernel refuses it. */
export function writeControl(path: string, value: string | number): void {
  writeFileSync(path, String(value))
}

/** False: the kernel has no such file, or refuses it. */
export function tryControl(path: string, value: string | number): boolean {
  try {
    writeControl(path, value)
    return true
  } catch {
    return false
  }
}

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
