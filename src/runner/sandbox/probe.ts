import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findProgram, writeFileAtomic } from '../../platform/files.ts'
import { bootId, procText } from '../../platform/proc.ts'
import { OUTSIDE_PATH } from './box.ts'
import { findBridge } from './bridge.ts'
import { BubblewrapBox } from './bubblewrap.ts'
import { seccompFilter } from './seccomp-filter.ts'

/** Result of trying bubblewrap on this machine. */
export type ProbeResult = Usable | { type: 'unusable'; why: string; hint: string }

interface Usable {
  type: 'usable'
  path: string
  version: string
  /** Tells whether it can keep a box from creating user namespaces. */
  disablesUserNamespaces: boolean
  /** Tells whether it can limit the memory that the temporary folders of a box take. */
  sizesTemp: boolean
  /**
   * Tells whether devices of the machine that belong to this user are closed to boxes, where they are then read-only
   * files.
   */
  closesDevices: boolean
}

/** Facts of the machine that explain why no box can be made. */
export interface MachineFacts {
  isRoot: boolean
  /** Set if this program runs under a system call filter. */
  isFiltered: boolean
  /** Container or pod around this program. */
  container?: 'container' | 'pod'
  /** Value of `user.max_user_namespaces`. */
  maxUserNamespaces?: number
  /** Value of `kernel.unprivileged_userns_clone`, which Debian's kernels have. */
  unprivilegedClone?: number
  /** Value of `kernel.apparmor_restrict_unprivileged_userns`, which Ubuntu's kernels have. */
  apparmorRestricts?: number
}

export interface ProbeOptions {
  env: NodeJS.ProcessEnv
  /** Folder that stores the result until the machine boots again; if absent, each call tries. */
  stateDir?: string
  /** Facts of the machine; default: this machine's. */
  facts?: MachineFacts
  platform?: NodeJS.Platform
  arch?: string
}

/** Oldest version: its `--json-status-fd` reports the first process of a box. */
const OLDEST = [0, 4]
const SIZES_TEMP = [0, 7]
const DISABLES_USER_NAMESPACES = [0, 8]
const LIMIT_MS = 20_000
/** Version of the stored result. */
const PROBE_VERSION = 3

/** Tries bubblewrap on this machine, with a real box, its filter and a folder mounted into it. Never rejects. */
export async function findBubblewrap(options: ProbeOptions): Promise<ProbeResult> {
  const { env, stateDir, platform = process.platform, arch = process.arch } = options
  if (platform !== 'linux')
    return unusable(
      `Sandboxes are not available on ${platform === 'darwin' ? 'macOS' : platform}: they need Linux.`,
      'Use a runner on a Linux machine.',
    )
  if (seccompFilter(arch) === undefined)
    return unusable(
      `Sandboxes are not available on this type of processor (${arch}): there is no system call filter for it.`,
      'They are available on x64 and arm64.',
    )
  const path = findProgram('bwrap', env.PATH ?? OUTSIDE_PATH, '/')
  if (path === undefined)
    return unusable(
      'bubblewrap is not installed: there is no program "bwrap" in PATH.',
      'Install it: apt-get install bubblewrap (Debian, Ubuntu), dnf install bubblewrap (Fedora, RHEL), apk add bubblewrap (Alpine).',
    )
  const facts = options.facts ?? machineFacts(env)
  const key = JSON.stringify([PROBE_VERSION, bootId(), process.getuid?.(), arch, path, stampOf(path), facts])
  const stored = stateDir === undefined ? undefined : readStored(join(stateDir, 'probe.json'), key)
  if (stored) return stored
  const found = await tryBubblewrap(path, facts, arch)
  // A failure can be repaired without a boot of the machine.
  if (stateDir !== undefined && found.type === 'usable') keep(join(stateDir, 'probe.json'), { key, found })
  return found
}

async function tryBubblewrap(path: string, facts: MachineFacts, arch: string): Promise<ProbeResult> {
  if (!facts.isRoot && (statSync(path).mode & 0o4000) !== 0)
    return unusable(
      `${path} is setuid root, which was needed where users could not create namespaces. It then lacks options that a sandbox needs.`,
      `If users may create namespaces (sysctl user.max_user_namespaces is not 0), remove the setuid bit: chmod u-s ${path}.`,
    )
  const output = await run([path, '--version'], '/')
  const version = /^bubblewrap (\d+)\.(\d+)\S*/.exec(output.stdout)
  if (version === null)
    return unusable(
      `${path} does not report its version: ${lastLine(output.stderr) || lastLine(output.stdout) || 'it prints nothing'}.`,
      'Reinstall bubblewrap.',
    )
  const number = [Number(version[1]), Number(version[2])]
  const text = version[0].slice('bubblewrap '.length)
  if (!isAtLeast(number, OLDEST))
    return unusable(
      `bubblewrap ${text} is too old: a sandbox needs ${OLDEST.join('.')} or newer.`,
      'Install a newer version, for example from a newer release of the system.',
    )
  const usable: Usable = {
    type: 'usable',
    path,
    version: text,
    sizesTemp: isAtLeast(number, SIZES_TEMP),
    disablesUserNamespaces: isAtLeast(number, DISABLES_USER_NAMESPACES),
    // Only their owner may change them.
    closesDevices: facts.isRoot,
  }
  let why = ''
  for (const each of [usable, ...lesser(usable)]) {
    const missing = await tryBox(each, arch)
    if (missing === undefined) return each
    why = missing
  }
  return explained(why, facts)
}

/**
 * Returns the abilities without those that a surrounding container may take away, the least important first: its
 * devices are then its own.
 */
function lesser(usable: Usable): Usable[] {
  const open = { ...usable, closesDevices: false }
  // If /proc/sys is not writable, the filter still refuses user namespaces.
  const nested = usable.disablesUserNamespaces ? [{ ...usable, disablesUserNamespaces: false }] : []
  if (!usable.closesDevices) return nested
  return [...nested, open, ...nested.map((each) => ({ ...each, closesDevices: false }))]
}

/** Returns the words in which bubblewrap says why there can be no box; undefined if the box was as intended. */
async function tryBox({ path, disablesUserNamespaces, sizesTemp, closesDevices }: Usable, arch: string) {
  const folder = mkdtempSync(join(tmpdir(), 'errand-probe-'))
  try {
    const filter = join(folder, 'filter')
    writeFileSync(filter, seccompFilter(arch)!)
    const mounts = { writable: [], readable: [] }
    const etc = join(folder, 'no-etc')
    const own = { path, filter, etc, bridge: findBridge() }
    const able = { disablesUserNamespaces, sizesTemp, closesDevices }
    const machine = { ...own, ...able, mounts, hidden: [] }
    const box = new BubblewrapBox(() => machine, join(folder, 'box'))
    await box.prepare()
    const launch = { argv: ['/bin/sh', '-c', LOOK, 'sh', folder], cwd: folder, env: { PATH: OUTSIDE_PATH } }
    const { argv } = box.enclose(launch, { writable: [folder], readable: [] }, 'probe')
    const { stdout, stderr } = await run(argv, folder)
    const seen = stdout.trim().split('\n').sort().join(' ')
    if (seen === SEEN) return undefined
    return lastLine(stderr) || `a sandbox shows "${seen}" instead of "${SEEN}"`
  } catch (error) {
    return (error as Error).message
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Prints what confines the process that runs it. */
const LOOK = `
while read -r name value rest; do
  case $name in CapEff:|CapBnd:|NoNewPrivs:|Seccomp:) echo "$name$value" ;; esac
done </proc/self/status
while read -r name rest; do case $name in lo:) echo lo ;; esac; done </proc/net/dev
( : >/proc/self/comm ) 2>/dev/null || echo readonly
[ -e "$1/filter" ] && : >"$1/written" && echo mounted
`
const SEEN = [
  'CapBnd:0000000000000000',
  'CapEff:0000000000000000',
  'NoNewPrivs:1',
  'Seccomp:2',
  'lo',
  'mounted',
  'readonly',
].join(' ')

const run = (argv: readonly string[], cwd: string): Promise<{ stdout: string; stderr: string }> =>
  new Promise((resolve) => {
    const [program, ...args] = argv
    const options = { cwd, env: { PATH: OUTSIDE_PATH }, timeout: LIMIT_MS, killSignal: 'SIGKILL' as const }
    execFile(program!, args, options, (error, stdout, stderr) => {
      const late = error?.killed === true ? `it did not answer within ${LIMIT_MS / 1000} s` : ''
      resolve({ stdout, stderr: stderr || late || (stdout === '' && error ? error.message : '') })
    })
  })

/** Explains why no box can be made, from bubblewrap's message and the machine's facts. */
export function explained(output: string, facts: MachineFacts): ProbeResult {
  const { container, isRoot, isFiltered, maxUserNamespaces, unprivilegedClone, apparmorRestricts } = facts
  const noNamespaces = /new namespace|unshare|namespaces? exceeded|ENOSPC/i.test(output)
  const words = `bubblewrap says: ${output.replace(/^bwrap: /, '').replace(/( See <.*)?\.?$/, '')}.`
  if (maxUserNamespaces === 0 && noNamespaces)
    return unusable(
      `User namespaces are off on this machine (user.max_user_namespaces is 0). ${words}`,
      container === undefined
        ? 'Enable them: sysctl -w user.max_user_namespaces=15000, and add that to /etc/sysctl.d to make it permanent.'
        : 'Enable them where the container runs: sysctl -w user.max_user_namespaces=15000.',
    )
  if (unprivilegedClone === 0 && !isRoot && noNamespaces)
    return unusable(
      `Users other than root may not create namespaces on this machine (kernel.unprivileged_userns_clone is 0). ${words}`,
      'Allow it: sysctl -w kernel.unprivileged_userns_clone=1, and add that to /etc/sysctl.d to make it permanent.',
    )
  if (apparmorRestricts === 1 && (noNamespaces || /uid map|gid map|RTM_NEWADDR|loopback/i.test(output)))
    return unusable(
      `AppArmor does not let a user's program create namespaces unless a profile allows it (kernel.apparmor_restrict_unprivileged_userns is 1). ${words}`,
      'Install the AppArmor profile for bubblewrap instead of disabling this restriction: apt-get install apparmor-profiles, then cp /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/ && apparmor_parser -r /etc/apparmor.d/bwrap-userns-restrict.',
    )
  if (/mount proc|\/newroot\/proc/i.test(output))
    return unusable(
      `A sandbox cannot have its own /proc here, because the ${container ?? 'container'} around this program hides part of it. ${words}`,
      container === 'pod'
        ? 'Give the pod procMount: Unmasked, or give each run its own pod, which is then its sandbox.'
        : 'Start the container with --security-opt systempaths=unconfined, or give each run its own container, which is then its sandbox.',
    )
  if (container !== undefined && noNamespaces && (isFiltered || isRoot))
    return unusable(
      `The ${container} around this program does not let it create namespaces (${isFiltered ? 'its default seccomp profile' : 'it lacks the rights'}). ${words}`,
      container === 'pod'
        ? 'Give each run its own pod, which is then its sandbox. Or give this pod a seccompProfile that allows unshare and clone with new namespaces (type: Unconfined does), and procMount: Unmasked.'
        : 'Give each run its own container, which is then its sandbox. Or start this container with --security-opt seccomp=PROFILE (such as deploy/seccomp-sandbox.json of Errand), --security-opt systempaths=unconfined and, on a machine with AppArmor, --security-opt apparmor=unconfined.',
    )
  if (noNamespaces)
    return unusable(
      `The kernel does not let ${isRoot ? 'this program' : 'this user'} create namespaces. ${words}`,
      "Find out what forbids them: a security module, a service manager (RestrictNamespaces=, PrivateUsers= of systemd) or the kernel's own configuration (CONFIG_USER_NS).",
    )
  return unusable(
    `No sandbox could be created. ${words}`,
    'Try it by hand: bwrap --unshare-all --ro-bind / / --proc /proc --dev /dev true',
  )
}

export function machineFacts(env: NodeJS.ProcessEnv): MachineFacts {
  return {
    isRoot: process.getuid?.() === 0,
    isFiltered: /^Seccomp:\t2$/m.test(procText('self', 'status') ?? ''),
    container: env.KUBERNETES_SERVICE_HOST
      ? 'pod'
      : env.container || existsSync('/.dockerenv') || existsSync('/run/.containerenv')
        ? 'container'
        : undefined,
    maxUserNamespaces: numberIn('/proc/sys/user/max_user_namespaces'),
    unprivilegedClone: numberIn('/proc/sys/kernel/unprivileged_userns_clone'),
    apparmorRestricts: numberIn('/proc/sys/kernel/apparmor_restrict_unprivileged_userns'),
  }
}

const unusable = (why: string, hint: string): ProbeResult => ({ type: 'unusable', why, hint })

const isAtLeast = (version: readonly number[], least: readonly number[]): boolean =>
  version[0]! > least[0]! || (version[0] === least[0] && version[1]! >= least[1]!)

const lastLine = (text: string): string => text.trim().split('\n').at(-1)!.slice(0, 300)

function numberIn(file: string): number | undefined {
  try {
    return Number(readFileSync(file, 'latin1').trim())
  } catch {
    return undefined
  }
}

function stampOf(path: string): string {
  const { size, mtimeMs } = statSync(path)
  return `${size} ${mtimeMs}`
}

function readStored(file: string, key: string): Usable | undefined {
  try {
    const stored = JSON.parse(readFileSync(file, 'utf8'))
    return stored.key === key ? stored.found : undefined
  } catch {
    return undefined
  }
}

function keep(file: string, value: object): void {
  try {
    writeFileAtomic(file, JSON.stringify(value), { mode: 0o600, durable: false })
  } catch {
    // The next call tries again.
  }
}
