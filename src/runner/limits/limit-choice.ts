import { accessSync, constants, mkdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { type Env, setting } from '../../config/read-setting.ts'
import type { AttemptLimits } from '../../contract/attempt.ts'
import { parseStat, procText } from '../../platform/proc.ts'
import type { V1Folders } from './cgroup-v1.ts'
import { controllersBelow } from './cgroup-v2.ts'
import {
  cgroupPlaces,
  makeCgroup,
  readControl,
  readPids,
  removeCgroup,
  tryControl,
  writeControl,
} from './cgroups.ts'
import type { HeldBy } from './limiter.ts'

/** Describes how this machine applies limits, and the cgroups below which those of attempts are created. */
export type LimitChoice =
  | { heldBy: 'cgroup_v2'; base: string; cpu: boolean }
  | { heldBy: 'cgroup_v1'; bases: V1Folders }
  | { heldBy: 'watchdog'; why: string }

/** Cgroup that this program moves itself to, so that the one it was started in may have others below it. */
const ASIDE = 'errand-main'
const NEEDED = ['memory', 'pids'] as const

/**
 * Creates the cgroups `name`, and returns the choice; a watchdog if no cgroup version is available, or if that is
 * wanted.
 */
export function chooseLimits(name: string, requested?: HeldBy): LimitChoice {
  if (requested === 'watchdog') return { heldBy: 'watchdog', why: 'ERRAND_LIMITS is watchdog' }
  const text = (file: string) => procText('self', file) ?? ''
  const { v1, v2 } = cgroupPlaces(text('mountinfo'), text('cgroup'))
  const whys: string[] = []
  if (requested !== 'cgroup_v1') {
    const found = v2 === undefined ? 'none is mounted' : chooseV2(v2, name)
    if (typeof found !== 'string') return found
    whys.push(`cgroup v2: ${found}`)
  }
  if (requested !== 'cgroup_v2') {
    const found = chooseV1(v1, name)
    if (typeof found !== 'string') return found
    whys.push(`cgroup v1: ${found}`)
  }
  return { heldBy: 'watchdog', why: whys.join('; ') }
}

function chooseV1(own: ReadonlyMap<string, string>, name: string): LimitChoice | string {
  const place = (controller: string) => {
    const folder = own.get(controller)
    return folder === undefined ? undefined : join(folder, name)
  }
  const [memory, pids, cpuacct, cpu] = ['memory', 'pids', 'cpuacct', 'cpu'].map(place)
  if (memory === undefined || pids === undefined || cpuacct === undefined)
    return 'the controllers memory, pids and cpuacct are not all mounted'
  for (const folder of [memory, pids, cpuacct])
    if (!makeCgroup(folder) || !writable(folder)) return `${folder} cannot be created or written`
  const limitsCpu = cpu !== undefined && makeCgroup(cpu) && writable(cpu) && has(cpu, 'cpu.cfs_quota_us')
  return { heldBy: 'cgroup_v1', bases: { memory, pids, cpuacct, cpu: limitsCpu ? cpu : undefined } }
}

function chooseV2(own: string, name: string): LimitChoice | string {
  const parent = dirname(own)
  const places = basename(own) === ASIDE ? [parent] : [own, parent]
  let why = ''
  for (const place of places) {
    const found = prepareV2(place, place === own, name)
    if (typeof found !== 'string') return found
    why ||= found
  }
  return why
}

function prepareV2(place: string, isOwn: boolean, name: string): LimitChoice | string {
  const offered = readControl(`${place}/cgroup.controllers`)?.trim().split(' ') ?? []
  if (!NEEDED.every((each) => offered.includes(each)))
    return `${place} does not have the controllers memory and pids (it has: ${offered.join(' ') || 'none'})`
  if (!writable(place)) return `${place} is not writable`
  if (!enable(place, offered) && !(isOwn && moveAside(place) && enable(place, offered)))
    return `${place} contains other processes, so nothing can be limited below it`
  const base = join(place, name)
  if (!makeCgroup(base) || !enable(base, offered)) return `${base} cannot be created`
  return { heldBy: 'cgroup_v2', base, cpu: controllersBelow(base).includes('cpu') }
}

/** Allows limits for cgroups below this one; returns false if the kernel refuses. */
function enable(folder: string, offered: readonly string[]): boolean {
  const there = controllersBelow(folder)
  for (const each of [...NEEDED, 'cpu'])
    if (offered.includes(each) && !there.includes(each))
      tryControl(`${folder}/cgroup.subtree_control`, `+${each}`)
  const now = controllersBelow(folder)
  return NEEDED.every((each) => now.includes(each))
}

/**
 * Moves the processes of a cgroup to one below it, if all are ours: a cgroup with processes cannot have limited ones
 * below it.
 */
function moveAside(own: string): boolean {
  const pids = readPids(own)
  if (!pids.every((pid) => isRelated(pid, new Set(pids)))) return false
  try {
    mkdirSync(join(own, ASIDE), { recursive: true })
    for (const pid of pids) writeControl(join(own, ASIDE, 'cgroup.procs'), pid)
    return true
  } catch {
    return false
  }
}

/** Reports whether the pid is this process, an ancestor, or a descendant of such a process within the cgroup. */
function isRelated(pid: number, within: ReadonlySet<number>): boolean {
  let top = process.pid
  for (let up = parentOf(top); within.has(up); up = parentOf(up)) top = up
  for (let up = pid; up > 0; up = parentOf(up)) if (up === top) return true
  return false
}

const parentOf = (pid: number): number => parseStat(procText(pid, 'stat') ?? '')?.parent ?? 0

function writable(folder: string): boolean {
  try {
    accessSync(join(folder, 'cgroup.procs'), constants.W_OK)
    accessSync(folder, constants.W_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}

function has(folder: string, file: string): boolean {
  try {
    readFileSync(join(folder, file))
    return true
  } catch {
    return false
  }
}

/** Removes what `chooseLimits` created; returns false if a process is still in it. */
export function giveBack(choice: LimitChoice): boolean {
  return basesOf(choice).map(removeCgroup).every(Boolean)
}

/** Returns the folders below which each attempt gets its cgroup. */
export function basesOf(choice: LimitChoice): readonly string[] {
  if (choice.heldBy === 'cgroup_v2') return [choice.base]
  if (choice.heldBy === 'watchdog') return []
  return Object.values(choice.bases).filter((folder) => folder !== undefined)
}

/** Reads the limits that no attempt of this machine may exceed. Throws `invalid_argument`. */
export const defaultLimits = (env: Env): AttemptLimits => ({
  cpus: setting(env, 'ERRAND_LIMIT_CPUS'),
  memory_bytes: setting(env, 'ERRAND_LIMIT_MEMORY'),
  processes: setting(env, 'ERRAND_LIMIT_PROCESSES'),
  disk_bytes: setting(env, 'ERRAND_LIMIT_DISK'),
})

/** Reads who should apply limits; undefined: this machine chooses. Throws `invalid_argument`. */
export function requestedHolder(env: Env): HeldBy | undefined {
  const requested = setting(env, 'ERRAND_LIMITS')
  return requested === 'auto' ? undefined : requested
}
