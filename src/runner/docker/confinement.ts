import { MAKES, MODES, REFUSED_CALLS, SET_ID } from '../sandbox/seccomp-filter.ts'
import seccompProfile from './seccomp-profile.json' with { type: 'json' }

interface Rule {
  names: readonly string[]
  action: string
  args?: readonly { index: number; value: number; valueTwo?: number; op: string }[]
  errnoRet?: number
}

/**
 * Moby's default profile; engines before 25 allow io_uring and sockets to the host of this virtual machine. No allowed
 * call gives a file the rights of its owner or its group: in a volume or a folder of the machine, that would outlive
 * the container.
 */
const { '//': _source, syscalls, ...rest } = seccompProfile
const ENOSYS = 38

const none = (index: number, bits: number): Rule['args'] => [
  { index, value: bits, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' },
]
const modeRules: readonly Rule[] = Object.entries(MODES).flatMap(([name, { mode, flags }]) => {
  const allowed = (args: Rule['args']) => ({ names: [name], action: 'SCMP_ACT_ALLOW', args })
  // One matching rule for a call is enough.
  return [allowed(none(mode, SET_ID)), ...(flags === undefined ? [] : [allowed(none(flags, MAKES))])]
})

function profileOf(taken: readonly string[], own: readonly Rule[]): string {
  const rules = syscalls
    .map((rule) => ({ ...rule, names: rule.names.filter((name) => !taken.includes(name)) }))
    .filter(({ names }) => names.length > 0)
  return `seccomp=${JSON.stringify({ ...rest, syscalls: [...rules, ...own] })}`
}

const MODE_CALLS = [...Object.keys(MODES), 'openat2']
const ofModes: readonly Rule[] = [
  ...modeRules,
  // Its mode is in memory, which a filter cannot see; callers fall back to openat.
  { names: ['openat2'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
]

const socketRule = (args: readonly (readonly [index: number, value: number])[]): Rule => ({
  names: ['socket'],
  action: 'SCMP_ACT_ALLOW',
  args: args.map(([index, value]) => ({ index, value, op: 'SCMP_CMP_EQ' })),
})
const AF_NETLINK = 16

/** System call filter of bots, in the engine's format. */
export const BOT_SECCOMP = profileOf(MODE_CALLS, ofModes)

/**
 * System call filter of boxes: it also refuses what a sandbox refuses, and sockets of families that are not for
 * networks.
 */
export const BOX_SECCOMP = profileOf(
  [...MODE_CALLS, ...REFUSED_CALLS, 'socket'],
  [
    ...ofModes,
    // AF_UNIX, AF_INET, AF_INET6, and the protocol that lists the interfaces.
    ...[1, 2, 10].map((family) => socketRule([[0, family]])),
    socketRule([
      [0, AF_NETLINK],
      [2, 0],
    ]),
  ],
)

/**
 * Paths that no container can see: what Docker hides itself (a list of ours replaces its own), and files of /proc about
 * the whole machine, which a root process could read there even without capabilities.
 */
export const MASKED_PATHS: readonly string[] = [
  ...['/proc/asound', '/proc/acpi', '/proc/interrupts', '/proc/kcore', '/proc/keys', '/proc/latency_stats'],
  ...['/proc/timer_list', '/proc/timer_stats', '/proc/sched_debug', '/proc/scsi', '/sys/firmware'],
  ...['/sys/devices/virtual/powercap'],
  ...['/proc/key-users', '/proc/kmsg', '/proc/kpagecgroup', '/proc/kpagecount', '/proc/kpageflags'],
  ...['/proc/pagetypeinfo', '/proc/slabinfo', '/proc/vmallocinfo'],
]
