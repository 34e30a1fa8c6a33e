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
import type { LogSince } from '../proxy/endpoint-log.ts'
import { ENDPOINT_INSIDE } from '../proxy/rules.ts'
import { type Box, type BoxMounts, outsideEnvironment } from './box.ts'
import type { BoxEndpoint, EndpointRequest } from './box-endpoint.ts'
import { type Bridge, bridged, holdsSandboxUp } from './bridge.ts'
import { etcArguments } from './etc.ts'
import { checkLaunch, checkSizes, type Launch } from './launch.ts'
import { checkInside, type Mount, mountsOf, TOP } from './mounts.ts'

/** Describes what all boxes of a machine have in common. */
export interface BubblewrapMachine {
  /** Path of the program. */
  path: string
  /** Folder of the files that are in each box's /etc. */
  etc: string
  /** Path of a system call filter, in the form that bubblewrap reads. */
  filter: string
  /** Tells whether bubblewrap can keep the box from creating user namespaces. */
  disablesUserNamespaces: boolean
  /** Tells whether bubblewrap can limit the memory of a temporary folder. */
  sizesTemp: boolean
  /** Set if the user in a box owns the machine's devices, so that operations reserved for the owner must be blocked. */
  closesDevices: boolean
  /** Places that the operator mounts into every box. */
  mounts: BoxMounts
  /** Carries connections from a box to its endpoint. */
  bridge: Bridge
  /** Folders of the hub and the runner: never in a box, except for places below them that the box is given. */
  hidden: readonly string[]
}

/**
 * Returns a shell script that opens descriptors after the wrapper's, with single digits as every shell accepts them.
 */
const begun = (exec: string): string => `
exec 5<"$1" 6<"$2" 7>"$3" || exit 126
box=$0
shift 3
exec ${exec}"$box" --args 5 --seccomp 6 --json-status-fd 7 -- "$@"
`
const START = begun('')
/**
 * Starts bubblewrap with protected devices. The devices in a box are the machine's own, and their owner could change
 * their mode for the whole machine. In a separate mount namespace they are read-only before bubblewrap starts, which
 * keeps that. A stream that is /dev/null is reopened there. Writing to a device does not change its file.
 */
const START_CLOSED = begun(`unshare --mount /bin/sh -c '
mount -o remount,bind,ro /dev || exit 126
[ /proc/self/fd/0 -ef /dev/null ] && exec </dev/null
[ /proc/self/fd/1 -ef /dev/null ] && exec >/dev/null
[ /proc/self/fd/2 -ef /dev/null ] && exec 2>/dev/null
exec "$0" "$@"' `)
const HOME = '/home/errand'
/**
 * Place of a separate empty file in each box. Nothing inside can change that mount, so it identifies the box's
 * processes.
 */
const SEAL_INSIDE = '/run/box'
/** Bytes for each of /tmp, /dev/shm and the home of a box; together they may hold three times this, all in memory. */
const TEMP_BYTES = Math.min(1024 ** 3, Math.floor(totalmem() / 8))
const UNKILLABLE_AFTER_MS = 10_000

/**
 * Makes a box with bubblewrap: separate namespaces, without a daemon and without root. Its files are in a folder of the
 * attempt.
 */
export class BubblewrapBox implements Box {
  readonly isolation = 'sandbox'
  readonly #machine: () => BubblewrapMachine
  readonly #folder: string
  readonly #endpoint: BoxEndpoint | undefined

  /** Takes `machine`, which is called only when something is to begin, and may throw; ending does not need it. */
  constructor(machine: () => BubblewrapMachine, folder: string, endpoint?: BoxEndpoint) {
    this.#machine = machine
    this.#folder = folder
    this.#endpoint = endpoint
  }

  async prepare(endpoint?: EndpointRequest): Promise<void> {
    this.#machine()
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    await this.#endpoint?.prepare(endpoint)
  }

  enclose(launch: Launch, mounts: BoxMounts, name: string): Launch {
    const { path, filter, mounts: operators, hidden, bridge, closesDevices } = this.#machine()
    const endpoint = mounts.offline ? undefined : this.#endpoint?.open
    const program = checkLaunch(launch)
    checkSizes(launch)
    const all = mountsOf(mounts, operators, hidden)
    checkInside(program, launch.cwd, all)
    const file = (kind: string) => join(this.#folder, `${kind}.${name}`)
    // Whoever looks for the first process of an earlier launch of that name finds this one's or none.
    rmSync(file('status'), { force: true })
    const seal = `${file('seal')}.${randomUUID()}`
    writeFileSync(seal, '', { mode: 0o400 })
    const way = endpoint
      ? ['--ro-bind', endpoint.folder, ENDPOINT_INSIDE, ...bridge.readable.flatMap(readOnly)]
      : []
    const env = { ...launch.env, ...endpoint?.env }
    const args = [
      ...this.#arguments(launch.cwd, all, [...way, '--ro-bind', seal, SEAL_INSIDE]),
      ...variables(env, all),
    ]
    writeFileSync(file('args'), `${args.join('\0')}\0`, { mode: 0o600 })
    const inside = [program, ...launch.argv.slice(1)]
    const words = [
      path,
      file('args'),
      filter,
      file('status'),
      ...(endpoint ? bridged(bridge, inside) : inside),
    ]
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

  logSince(fromOffset: number): LogSince {
    return this.#endpoint?.logSince(fromOffset) ?? { lines: [], offset: fromOffset }
  }

  async close(): Promise<void> {
    await this.#endpoint?.close()
  }

  async remove(): Promise<void> {
    await this.#endpoint?.remove()
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

  /**
   * Returns the pids, on this machine, of the first processes of all launches; each takes its whole namespace with it.
   */
  #firstPids(): number[] {
    return namesIn(this.#folder)
      .filter((name) => name.startsWith('status.'))
      .flatMap((name) => {
        const pid = /"child-pid": (\d+)/.exec(textOf(join(this.#folder, name)))?.[1]
        return pid === undefined ? [] : [Number(pid)]
      })
      .filter((pid) => this.#isFirst(pid))
  }

  /**
   * Reports whether the pid is the first process of a namespace of this box; the number may be another process's by
   * now.
   */
  #isFirst(pid: number): boolean {
    if (!/^NSpid:\t.*\t1$/m.test(procText(pid, 'status') ?? '')) return false
    if (parseStat(procText(pid, 'stat') ?? '') === undefined) return false
    const mounts = procText(pid, 'mountinfo')
    // A process that hides its mounts does not belong to another program.
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
      // Through a writable one, each process could change the memory of the one that waits for it.
      ...['--proc', '/proc', ...procMounts(), '--remount-ro', '/proc'],
      ...['--dev', '/dev', ...temp('/dev/shm'), ...temp('/tmp')],
      ...['--dir', '/var', '--symlink', '../tmp', '/var/tmp', ...temp(HOME)],
      ...own,
      ...mounts.flatMap(argumentsOf),
      ...hidden.flatMap(({ path }) => ['--remount-ro', path]),
      // Nothing limits the memory of either.
      ...['--remount-ro', '/dev', '--remount-ro', '/', '--chdir', cwd],
    ]
  }
}

/** Returns the arguments that set the variables inside. */
function variables(env: NodeJS.ProcessEnv, mounts: readonly Mount[]): string[] {
  const home = env.HOME ?? ''
  const isHomeWritable = mounts.some(({ kind, path }) => kind === 'writable' && isBelow(home, path))
  const own = { HOME: isHomeWritable ? home : HOME, TMPDIR: '/tmp', USER: 'errand' }
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
 * Files of /proc that describe the whole machine. If the runner is root, the processes in a box are root too, without
 * its capabilities, so they could read what only root may. The list omits files that the kernel never opens without
 * capabilities (kcore, kmsg): each mount takes a quarter of a millisecond.
 */
const PROC_EMPTY = [
  ...['key-users', 'keys', 'kpagecgroup', 'kpagecount', 'kpageflags', 'latency_stats', 'pagetypeinfo'],
  ...['sched_debug', 'slabinfo', 'timer_list', 'timer_stats', 'vmallocinfo'],
]

/** Returns mounts over those that exist; for other users than root the kernel protects them. */
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
