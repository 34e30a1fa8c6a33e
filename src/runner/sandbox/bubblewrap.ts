import { randomUUID } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isBelow } from '../../platform/files.ts'
import { listProcesses, parseStat, procText, signal } from '../../platform/proc.ts'
import { DOOR_INSIDE } from '../proxy/rules.ts'
import type { ToldSince } from '../proxy/telling.ts'
import { type Box, type BoxPlaces, outsideEnvironment } from './box.ts'
import type { BoxDoor, DoorAsked } from './box-door.ts'
import { type Bridge, bridged, holdsSandboxUp } from './bridge.ts'
import { etcArguments } from './etc.ts'
import { checkLaunch, checkSizes, type Launch } from './launch.ts'
import { checkInside, type Mount, mountsOf, TOP } from './places.ts'

/** Things that all boxes of a machine have in common. */
export interface BubblewrapMachine {
  /** The program. */
  path: string
  /** Folder of the files that stand in each box's /etc. */
  etc: string
  /** A filter of system calls, as bubblewrap reads it. */
  filter: string
  /** Whether it can keep the box from making user namespaces of its own. */
  disablesUserNamespaces: boolean
  /** Whether it can bound the memory of a temporary folder. */
  sizesTemp: boolean
  /** Whether the machine's devices belong to who is in a box, and so must be closed to what only their owner may do. */
  closesDevices: boolean
  /** Places that the operator lets into every box. */
  mounts: BoxPlaces
  /** Carries connections from a box to its door. */
  bridge: Bridge
  /** Folders of the hub and the runner: never in a box, but for what it is given below them. */
  hidden: readonly string[]
}

/** Descriptors beyond those of the wrapper, in single digits as every shell takes them. */
const begun = (exec: string): string => `
exec 5<"$1" 6<"$2" 7>"$3" || exit 126
box=$0
shift 3
exec ${exec}"$box" --args 5 --seccomp 6 --json-status-fd 7 -- "$@"
`
const START = begun('')
/**
 * Devices that stand in a box are the machine's own: whoever owns them could take their mode away from all of it. In mounts of
 * its own they are read-only before bubblewrap comes, which keeps that, and a stream that is /dev/null is opened anew there;
 * what is written to a device is no change of its file.
 */
const START_CLOSED = begun(`unshare --mount /bin/sh -c '
mount -o remount,bind,ro /dev || exit 126
[ /proc/self/fd/0 -ef /dev/null ] && exec </dev/null
[ /proc/self/fd/1 -ef /dev/null ] && exec >/dev/null
[ /proc/self/fd/2 -ef /dev/null ] && exec 2>/dev/null
exec "$0" "$@"' `)
const HOME = '/home/errand'
/** Where each box has an empty file of its own: by that mount, which nothing inside can change, its processes are known. */
const SEAL_INSIDE = '/run/box'
/** Most that /tmp, /dev/shm and the home of a box hold together is three times this, and all of it is memory. */
const TEMP_BYTES = Math.min(1024 ** 3, Math.floor(totalmem() / 8))
const UNKILLABLE_AFTER_MS = 10_000

/** A box by bubblewrap: namespaces of its own, without a daemon and without root. Its files stand in a folder of the attempt's. */
export class BubblewrapBox implements Box {
  readonly isolation = 'sandbox'
  readonly #machine: () => BubblewrapMachine
  readonly #folder: string
  readonly #door: BoxDoor | undefined

  /** `machine` is asked where something is to begin: what began can be ended without. It may throw. */
  constructor(machine: () => BubblewrapMachine, folder: string, door?: BoxDoor) {
    this.#machine = machine
    this.#folder = folder
    this.#door = door
  }

  async prepare(asked?: DoorAsked): Promise<void> {
    this.#machine()
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    await this.#door?.prepare(asked)
  }

  enclose(launch: Launch, places: BoxPlaces, name: string): Launch {
    const { path, filter, mounts, hidden, bridge, closesDevices } = this.#machine()
    const door = places.offline ? undefined : this.#door?.open
    const program = checkLaunch(launch)
    checkSizes(launch)
    const all = mountsOf(places, mounts, hidden)
    checkInside(program, launch.cwd, all)
    const file = (kind: string) => join(this.#folder, `${kind}.${name}`)
    // Whoever looks for the first process of an earlier one of that name finds this one's or none.
    rmSync(file('status'), { force: true })
    const seal = `${file('seal')}.${randomUUID()}`
    writeFileSync(seal, '', { mode: 0o400 })
    const way = door ? ['--ro-bind', door.folder, DOOR_INSIDE, ...bridge.readable.flatMap(readOnly)] : []
    const env = { ...launch.env, ...door?.env }
    const args = [
      ...this.#arguments(launch.cwd, all, [...way, '--ro-bind', seal, SEAL_INSIDE]),
      ...variables(env, all),
    ]
    writeFileSync(file('args'), `${args.join('\0')}\0`, { mode: 0o600 })
    const inside = [program, ...launch.argv.slice(1)]
    const words = [path, file('args'), filter, file('status'), ...(door ? bridged(bridge, inside) : inside)]
    const start = closesDevices ? START_CLOSED : START
    return { argv: ['/bin/sh', '-c', start, ...words], cwd: launch.cwd, env: outsideEnvironment(launch.env) }
  }

  members(): number[] {
    const found = new Set(this.#firstPids())
    if (found.size === 0) return []
    const all = listProcesses() ?? []
    for (let before = -1; before !== found.size; ) {
      before = found.size
      for (const { pid, parent } of all) if (found.has(parent)) found.add(pid)
    }
    return [...found]
  }

  spares(pid: number): boolean {
    return holdsSandboxUp(pid)
  }

  told(fromOffset: number): ToldSince {
    return this.#door?.told(fromOffset) ?? { lines: [], offset: fromOffset }
  }

  async close(): Promise<void> {
    await this.#door?.close()
  }

  async remove(): Promise<void> {
    await this.#door?.remove()
  }

  began(name: string): boolean {
    return /"exit-code": \d+/.test(textOf(join(this.#folder, `status.${name}`)))
  }

  async end(): Promise<boolean> {
    const first = this.#firstPids()
    const until = performance.now() + UNKILLABLE_AFTER_MS
    for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 100)) {
      const left = first.filter((pid) => this.#isFirst(pid))
      for (const pid of left) signal(pid, 'SIGKILL')
      if (left.length === 0) break
      if (performance.now() > until) return false
      await sleep(pauseMs)
    }
    for (const name of namesIn(this.#folder))
      if (name.startsWith('args.')) rmSync(join(this.#folder, name), { force: true })
    return true
  }

  /** Pids, on this machine, of the first processes of what was enclosed: with each all of its namespace ends. */
  #firstPids(): number[] {
    return namesIn(this.#folder)
      .filter((name) => name.startsWith('status.'))
      .flatMap((name) => {
        const pid = /"child-pid": (\d+)/.exec(textOf(join(this.#folder, name)))?.[1]
        return pid === undefined ? [] : [Number(pid)]
      })
      .filter((pid) => this.#isFirst(pid))
  }

  /** Whether that is the first process of a namespace of this box, and alive: by then its number may be another's. */
  #isFirst(pid: number): boolean {
    if (!/^NSpid:\t.*\t1$/m.test(procText(pid, 'status') ?? '')) return false
    if (parseStat(procText(pid, 'stat') ?? '') === undefined) return false
    const mounts = procText(pid, 'mountinfo')
    // One that hides it is no other program's.
    if (mounts === undefined) return true
    return namesIn(this.#folder).some(
      (name) => name.startsWith('seal.') && mounts.includes(`/${name} ${SEAL_INSIDE} `),
    )
  }

  #arguments(cwd: string, mounts: readonly Mount[], own: readonly string[]): string[] {
    const { etc, disablesUserNamespaces, sizesTemp } = this.#machine()
    const temp = (path: string) => [...(sizesTemp ? ['--size', String(TEMP_BYTES)] : []), '--tmpfs', path]
    const hidden = mounts.filter(({ kind }) => kind === 'hidden_folder')
    return [
      ...['--unshare-all', '--unshare-user', ...(disablesUserNamespaces ? ['--disable-userns'] : [])],
      ...['--uid', '1000', '--gid', '1000', '--hostname', 'errand', '--cap-drop', 'ALL'],
      ...['--new-session', '--die-with-parent'],
      ...['--ro-bind', '/usr', '/usr', ...TOP.flatMap(topMount)],
      ...etcArguments(etc),
      // Through a writable one each process could change the memory of the one that waits for it.
      ...['--proc', '/proc', ...procMounts(), '--remount-ro', '/proc'],
      ...['--dev', '/dev', ...temp('/dev/shm'), ...temp('/tmp')],
      ...['--dir', '/var', '--symlink', '../tmp', '/var/tmp', ...temp(HOME)],
      ...own,
      ...mounts.flatMap(argumentsOf),
      ...hidden.flatMap(({ path }) => ['--remount-ro', path]),
      // Nothing bounds the memory of either.
      ...['--remount-ro', '/dev', '--remount-ro', '/', '--chdir', cwd],
    ]
  }
}

/** The variables inside. */
function variables(env: NodeJS.ProcessEnv, mounts: readonly Mount[]): string[] {
  const home = env.HOME ?? ''
  const keepsHome = mounts.some(({ kind, path }) => kind === 'writable' && isBelow(home, path))
  const own = { HOME: keepsHome ? home : HOME, TMPDIR: '/tmp', USER: 'errand' }
  const inside: NodeJS.ProcessEnv = { ...env, ...own }
  const set = Object.entries(inside).flatMap(([name, value]) =>
    value === undefined ? [] : ['--setenv', name, value],
  )
  return inside.PATH === undefined ? [...set, '--unsetenv', 'PATH'] : set
}

function argumentsOf({ kind, path, source }: Mount): string[] {
  switch (kind) {
    case 'writable':
      return ['--bind', source, path]
    case 'readable':
      return ['--ro-bind', source, path]
    case 'hidden_folder':
      return ['--tmpfs', path]
    case 'hidden_file':
      return ['--ro-bind', '/dev/null', path]
  }
}

const readOnly = (path: string): string[] => ['--ro-bind', path, path]

/**
 * Files of /proc that tell of the whole machine. Of a runner that is root the processes in a box are root's too, without its
 * rights: so they could read what is its user's alone. Not among them are those that the kernel opens for nobody without rights
 * (kcore, kmsg): each mount takes a quarter of a millisecond.
 */
const PROC_EMPTY = [
  ...['key-users', 'keys', 'kpagecgroup', 'kpagecount', 'kpageflags', 'latency_stats', 'pagetypeinfo'],
  ...['sched_debug', 'slabinfo', 'timer_list', 'timer_stats', 'vmallocinfo'],
]

/** Those of them that are here; for another user than root the kernel keeps them as they are. */
function procMounts(): string[] {
  if (process.getuid?.() !== 0) return []
  return PROC_EMPTY.filter((name) => existsSync(`/proc/${name}`)).flatMap((name) => [
    ...['--ro-bind', '/dev/null', `/proc/${name}`],
  ])
}

function topMount(name: string): string[] {
  const path = `/${name}`
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return []
  return stat.isSymbolicLink() ? ['--symlink', readlinkSync(path), path] : ['--ro-bind', path, path]
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
