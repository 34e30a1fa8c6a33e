import type { AttemptSpec, Requirements } from '../../contract/attempt.ts'
import { type BoxAsk, boxFor, type Isolation, permitted, strictestAsk } from '../../contract/isolation.ts'
import type { OfferedIsolation } from '../../contract/protocol.ts'
import { DEFAULT_TENANT } from '../auth/tokens.ts'

/** Describes what an attempt demands of a runner, and whose runners it may have. */
export interface Need {
  tenant: string
  requires: Requirements
  /** The run, if the group provisions each runner for one run. */
  run?: string
  /**
   * Kinds of boxes that the attempt, and the later steps on the same runner, must run in; absent when there are none.
   */
  boxes?: readonly BoxKind[]
}
type BoxKind = Exclude<Isolation, 'none'>

/** The least box that a group of runners demands for everything that runs in it. */
export type GroupBox = Pick<BoxAsk, 'isolation' | 'network'>

export const DEFAULT_GROUP = 'default'

/**
 * Identifies a runner across all tenants, since an id is unique only within its tenant. Used only in the hub's memory
 * and shown nowhere.
 */
export type RunnerKey = string & { readonly _brand: 'RunnerKey' }

/** Builds the key of a runner; a missing tenant means the first tenant. */
export const runnerKey = (tenant: string | undefined, id: string): RunnerKey =>
  JSON.stringify([tenant ?? DEFAULT_TENANT, id]) as RunnerKey

export function needOf({
  tenant = DEFAULT_TENANT,
  requires,
  isolation: requested,
  network,
}: Pick<AttemptSpec, 'tenant' | 'requires' | 'isolation' | 'network'>): Need {
  // A bot runs in a container of its own.
  if (!takesSlot(requires)) return { tenant, requires }
  const boxes = kinds([boxFor(requested, network), ...(requires.boxes ?? [])])
  return { tenant, requires, ...(boxes.length > 0 && { boxes }) }
}

/** Returns each kind once, sorted. */
const kinds = (isolations: readonly (Isolation | undefined)[]): BoxKind[] =>
  [...new Set(isolations.filter((each) => each !== undefined && each !== 'none'))].sort()

/**
 * Returns the spec as sent to a runner of the group, with the stricter demand of both. Only the operator can open
 * private hosts; a run or step cannot.
 */
export function withGroupBox(spec: AttemptSpec, group: GroupBox): AttemptSpec {
  if (!takesSlot(spec.requires)) return spec
  const { isolation, image } = spec
  const requestedBox = { isolation, network: permitted(spec.network, group.network), image }
  return { ...spec, ...strictestAsk(requestedBox, group) }
}

/**
 * Reports whether an attempt takes a slot. A bot does not: it runs for days and is mostly idle, and slots are for
 * work that ends.
 */
export const takesSlot = ({ containers }: Requirements): boolean => containers !== true

/** Returns the group that is asked for. A runner asked for by name may be of any group, so then it is undefined. */
export const groupOf = ({ runner, group }: Requirements): string | undefined =>
  group ?? (runner === undefined ? DEFAULT_GROUP : undefined)

/** Returns a key that is equal for steps of a run that share a workspace, whatever resources they use. */
export const workspaceKey = ({ runner, group, labels }: Requirements): string =>
  JSON.stringify([runner, group, sorted(labels)])

/** Returns a key that is equal for equal needs. */
export function needKey({ tenant, requires, boxes, run }: Need): string {
  const { runner, group, labels, cpus, memory_bytes, largest, mode, containers } = requires
  const amounts = [cpus, memory_bytes, largest?.cpus, largest?.memory_bytes]
  return JSON.stringify([tenant, runner, group, mode, containers, sorted(labels), amounts, boxes, run])
}

const sorted = (labels: Requirements['labels']) =>
  labels && Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))

/** A runner as placement sees it. */
export interface Candidate {
  readonly key: RunnerKey
  readonly id: string
  readonly tenant: string
  readonly group: string
  readonly labels: Readonly<Record<string, string>>
  readonly mode: 'chat' | 'issue' | 'all'
  readonly containers: boolean
  /** Boxes that the runner can make; undefined if it makes none, or is away and that is not known. */
  readonly isolation?: OfferedIsolation | undefined
  /** The least box that its group demands. */
  readonly groupBox?: GroupBox | undefined
  readonly slots: number
  /** Slots taken. */
  readonly used: number
  /** Cores that it offers in total. The `free…` fields give what is not reserved for an attempt. */
  readonly cpus: number
  readonly freeCpus: number
  readonly memoryBytes: number
  readonly freeMemoryBytes: number
  /** Number of a bot's cores that count as one reserved core; undefined if bots reserve no cores. */
  readonly botOvercommit?: number
  /** True while it takes nothing new because it is reserved for a large step. */
  readonly reserved: boolean
  readonly status: 'connected' | 'disconnected' | 'draining'
  /** True while it is away, or just ending, and still has time to come back. */
  readonly awaited: boolean
  /** The run that it was provisioned for; null if it has no run yet; undefined if it is for all runs. */
  readonly run?: string | null | undefined
  /** True while an admin drains it: it takes only the next steps of runs that have files there. */
  readonly finishing: boolean
}

/** Reports whether the runner is connected and would have room for the need if it were empty. */
export const takes = (runner: Candidate, need: Need): boolean =>
  runner.status === 'connected' && offers(runner, need)

/**
 * Reports whether the run stays on its home, which has the files and will take the next step, now or when it is back.
 */
export const isReserved = (home: Candidate, need: Need): boolean =>
  (goesOn(home) || home.awaited) && offers(home, need)

/** Reports whether the runner is there and may begin the next step of a run that works there. */
export const goesOn = ({ status, finishing }: Candidate): boolean => status === 'connected' || finishing

/** Reports whether the runner would do if it were connected and empty. */
export function offers(runner: Candidate, need: Need): boolean {
  const { tenant, requires } = need
  return (
    runner.tenant === tenant &&
    isForRun(runner, need) &&
    isNamed(runner, requires) &&
    suits(runner, requires) &&
    givesBox(runner, need) &&
    isLargeEnough(runner, requires)
  )
}

/** Reports whether the runner may serve the run: it was not provisioned for another one. */
export const isForRun = ({ run }: Candidate, need: Need): boolean =>
  run === undefined || (run === null ? need.run !== undefined : run === need.run)

/** Reports whether the runner is the one that was named, or is of the group. */
export function isNamed(runner: Candidate, requires: Requirements): boolean {
  const group = groupOf(requires)
  if (group !== undefined && runner.group !== group) return false
  return requires.runner === undefined || runner.id === requires.runner
}

export function suits(runner: Candidate, { labels = {}, mode, containers }: Requirements): boolean {
  if (runner.mode !== 'all' && runner.mode !== mode) return false
  if (containers && !runner.containers) return false
  return Object.entries(labels).every(([name, value]) => runner.labels[name] === value)
}

/**
 * Returns the kinds of boxes that the runner must give: what the attempt asks for, made as strict as the group
 * demands.
 */
export function boxesNeeded({ groupBox }: Candidate, { requires, boxes = [] }: Need): readonly BoxKind[] {
  if (groupBox === undefined || !takesSlot(requires)) return boxes
  const requestedBoxes = boxes.length === 0 ? [undefined] : boxes
  return kinds(requestedBoxes.map((isolation) => strictestAsk({ isolation }, groupBox).isolation))
}

/**
 * Returns the first required kind of box that the runner cannot give. A runner that is away counts as able; it
 * reports its boxes when it is back.
 */
export const lackingBox = (runner: Candidate, need: Need): BoxKind | undefined =>
  boxesNeeded(runner, need).find(
    (kind) => !(runner.isolation?.[kind].usable ?? (runner.status === 'disconnected' && runner.awaited)),
  )

/** Reports whether the runner can give the boxes that the attempt, and the later steps there, must run in. */
export const givesBox = (runner: Candidate, need: Need): boolean => lackingBox(runner, need) === undefined

/** Returns the amounts that the runner must offer. The run stays there, so they cover its largest step too. */
export const largestOf = ({ cpus = 0, memory_bytes = 0, largest }: Requirements) => ({
  cpus: Math.max(cpus, largest?.cpus ?? 0),
  memoryBytes: Math.max(memory_bytes, largest?.memory_bytes ?? 0),
})

function isLargeEnough(runner: Candidate, requires: Requirements): boolean {
  const { cpus, memoryBytes } = largestOf(requires)
  return runner.cpus >= cpus && runner.memoryBytes >= memoryBytes
}

/** Reports whether the runner has room now. A step that names no amount takes only a slot. */
export const hasRoom = (runner: Candidate, requires: Requirements): boolean =>
  hasSlot(runner, requires) && hasCpus(runner, requires) && hasMemory(runner, requires)

export const hasSlot = (runner: Candidate, requires: Requirements): boolean =>
  !takesSlot(requires) || runner.used < runner.slots

export function hasCpus(runner: Candidate, requires: Requirements): boolean {
  const cpus = reservedCpus(runner, requires)
  return cpus === 0 || runner.freeCpus >= cpus - ROUNDING
}

export const hasMemory = (runner: Candidate, { memory_bytes = 0 }: Requirements): boolean =>
  memory_bytes === 0 || runner.freeMemoryBytes >= memory_bytes

/**
 * Returns the cores to reserve. The cores of a bot are only its upper limit and are shared by weight, so it reserves
 * a fraction.
 */
export function reservedCpus({ botOvercommit }: Candidate, requires: Requirements): number {
  const { cpus = 0 } = requires
  if (takesSlot(requires)) return cpus
  return botOvercommit === undefined ? 0 : cpus / botOvercommit
}
/** Tolerance for the rounding error of the division. */
const ROUNDING = 1e-6
