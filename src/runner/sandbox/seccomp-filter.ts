/**
 * Filter of system calls in the form that the kernel takes (classic BPF), for programs in a box. It refuses calls that
 * could reach through the box's walls, and calls that are not needed once the box is set up, with EPERM. The list is
 * not complete: namespaces and the lack of capabilities cover the rest. The numbers are from the kernel's tables
 * (`arch/x86/entry/syscalls/syscall_64.tbl`, `include/uapi/asm-generic/unistd.h`).
 */

/** Refused calls with their numbers for x64 and arm64, as Node names them, in this order. */
export const REFUSED: Readonly<
  Record<string, readonly [x64: number | undefined, arm64: number | undefined]>
> = {
  acct: [163, 89],
  add_key: [248, 217],
  adjtimex: [159, 171],
  bpf: [321, 280],
  clock_adjtime: [305, 266],
  clock_settime: [227, 112],
  delete_module: [176, 106],
  finit_module: [313, 273],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fsopen: [430, 430],
  fspick: [433, 433],
  init_module: [175, 105],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  io_uring_setup: [425, 425],
  ioperm: [173, undefined],
  iopl: [172, undefined],
  kcmp: [312, 272],
  kexec_file_load: [320, 294],
  kexec_load: [246, 104],
  keyctl: [250, 219],
  lookup_dcookie: [212, 18],
  modify_ldt: [154, undefined],
  mount: [165, 40],
  mount_setattr: [442, 442],
  move_mount: [429, 429],
  nfsservctl: [180, 42],
  open_by_handle_at: [304, 265],
  open_tree: [428, 428],
  perf_event_open: [298, 241],
  pidfd_getfd: [438, 438],
  pivot_root: [155, 41],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  ptrace: [101, 117],
  quotactl: [179, 60],
  quotactl_fd: [443, 443],
  reboot: [169, 142],
  request_key: [249, 218],
  setdomainname: [171, 162],
  sethostname: [170, 161],
  setns: [308, 268],
  settimeofday: [164, 170],
  swapoff: [168, 225],
  swapon: [167, 224],
  syslog: [103, 116],
  umount2: [166, 39],
  unshare: [272, 97],
  uselib: [134, undefined],
  userfaultfd: [323, 282],
  vhangup: [153, 58],
}
/** Names of the refused calls. */
export const REFUSED_CALLS: readonly string[] = Object.keys(REFUSED)

interface ModeCall {
  x64?: number
  arm64?: number
  /** Positions of the mode, and of flags that say whether it counts. */
  mode: number
  flags?: number
}

/**
 * Calls that set the mode of a file: a file that runs with the rights of its user or group, wherever it runs, would
 * outlive the box.
 */
export const MODES: Readonly<Record<string, ModeCall>> = {
  chmod: { x64: 90, mode: 1 },
  creat: { x64: 85, mode: 1 },
  fchmod: { x64: 91, arm64: 52, mode: 1 },
  fchmodat: { x64: 268, arm64: 53, mode: 2 },
  fchmodat2: { x64: 452, arm64: 452, mode: 2 },
  mknod: { x64: 133, mode: 1 },
  mknodat: { x64: 259, arm64: 33, mode: 2 },
  open: { x64: 2, mode: 2, flags: 1 },
  openat: { x64: 257, arm64: 56, mode: 3, flags: 2 },
}

interface Machine {
  audit: number
  clone: number
  ioctl: number
  personality: number
  socket: number
  /** First number of another ABI. */
  otherAbi?: number
}
const MACHINES: Readonly<Record<'x64' | 'arm64', Machine>> = {
  x64: { audit: 0xc000003e, clone: 56, ioctl: 16, personality: 135, socket: 41, otherAbi: 0x40000000 },
  arm64: { audit: 0xc00000b7, clone: 220, ioctl: 29, personality: 92, socket: 198 },
}
const CLONE3 = 435
const OPENAT2 = 437

/** Bits S_ISUID and S_ISGID. */
export const SET_ID = 0o6000
/** Bits O_CREAT and O_TMPFILE; without them nothing is created. */
export const MAKES = 0o100 | 0o20000000

/** Bits CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const NEW_NAMESPACES = 0x7e020080
/** Allowed families: AF_UNIX, AF_INET, AF_INET6. */
const FAMILIES = [1, 2, 10]
const AF_NETLINK = 16
/** Terminal requests: TIOCSTI types into a terminal, TIOCLINUX pastes into one. */
const TERMINAL = [0x5412, 0x541c]
/** Allowed personalities: PER_LINUX, PER_LINUX32, UNAME26 with either, and the query. */
const PERSONALITIES = [0, 0x0008, 0x20000, 0x20008, 0xffffffff]

const EPERM = 1
const ENOSYS = 38
const ALLOW = 0x7fff0000
const refuse = (errno: number): number => 0x00050000 | errno

/** Offsets into the filter's input: the call's number, its ABI, the low halves of its arguments. */
const NUMBER = 0
const ABI = 4
const argument = (index: number): number => 16 + index * 8

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number]
const load = (offset: number): Instruction => [0x20, 0, 0, offset]
const answer = (value: number): Instruction => [0x06, 0, 0, value]
/** Skips `ifTrue` instructions if the value matches, and `ifFalse` if not. */
const equals = (value: number, ifTrue: number, ifFalse: number): Instruction => [0x15, ifTrue, ifFalse, value]
const atLeast = (value: number, ifTrue: number, ifFalse: number): Instruction => [
  0x35,
  ifTrue,
  ifFalse,
  value,
]
const hasBit = (bits: number, ifTrue: number, ifFalse: number): Instruction => [0x45, ifTrue, ifFalse, bits]

/** Builds the filter's bytes for a machine of this kind; undefined if there is none for it. */
export function seccompFilter(arch: string): Buffer | undefined {
  if (arch !== 'x64' && arch !== 'arm64') return undefined
  const { audit, clone, ioctl, personality, socket, otherAbi } = MACHINES[arch]
  const refused = Object.values(REFUSED).flatMap((numbers) => numbers[arch === 'x64' ? 0 : 1] ?? [])
  const program: Instruction[] = [
    load(ABI),
    equals(audit, 1, 0),
    answer(refuse(EPERM)),
    load(NUMBER),
    ...(otherAbi === undefined ? [] : [atLeast(otherAbi, 0, 1), answer(refuse(EPERM))]),
    ...refused.flatMap((number) => [equals(number, 0, 1), answer(refuse(EPERM))]),
    // Their flags are in memory, which a filter cannot see; callers fall back to clone or openat.
    ...[CLONE3, OPENAT2].flatMap((number) => [equals(number, 0, 1), answer(refuse(ENOSYS))]),
    ...Object.values(MODES).flatMap((call) => modeCall(call, arch)),
    ...forCall(clone, [
      load(argument(0)),
      hasBit(NEW_NAMESPACES, 0, 1),
      answer(refuse(EPERM)),
      answer(ALLOW),
    ]),
    ...forCall(ioctl, [load(argument(1)), ...oneOf(TERMINAL, refuse(EPERM)), answer(ALLOW)]),
    ...forCall(personality, [load(argument(0)), ...oneOf(PERSONALITIES, ALLOW), answer(refuse(EPERM))]),
    ...forCall(socket, [
      load(argument(0)),
      ...oneOf(FAMILIES, ALLOW),
      equals(AF_NETLINK, 1, 0),
      answer(refuse(EPERM)),
      // Allow NETLINK_ROUTE, which programs use to list the interfaces.
      load(argument(2)),
      ...oneOf([0], ALLOW),
      answer(refuse(EPERM)),
    ]),
    answer(ALLOW),
  ]
  return Buffer.concat(program.map(bytesOf))
}

function modeCall({ mode, flags, ...numbers }: ModeCall, arch: 'x64' | 'arm64'): Instruction[] {
  const number = numbers[arch]
  if (number === undefined) return []
  const look = [load(argument(mode)), hasBit(SET_ID, 0, 1), answer(refuse(EPERM)), answer(ALLOW)]
  const makes = flags === undefined ? [] : [load(argument(flags)), hasBit(MAKES, 1, 0), answer(ALLOW)]
  return forCall(number, [...makes, ...look])
}

/** Applies instructions to one call; for any other call, the number stays loaded. */
const forCall = (number: number, then: readonly Instruction[]): Instruction[] => [
  equals(number, 0, then.length),
  ...then,
]

const oneOf = (values: readonly number[], then: number): Instruction[] =>
  values.flatMap((value) => [equals(value, 0, 1), answer(then)])

function bytesOf([code, ifTrue, ifFalse, value]: Instruction): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt16LE(code, 0)
  bytes.writeUInt8(ifTrue, 2)
  bytes.writeUInt8(ifFalse, 3)
  bytes.writeUInt32LE(value >>> 0, 4)
  return bytes
}
