import type { AttemptSpec, Requirements } from '../../contract/attempt.ts'
import { type BoxAsk, boxFor, type Isolation, permitted, strictestAsk } from '../../contract/isolation.ts'
import type { GivenIsolation } from '../../contract/protocol.ts'
import { DEFAULT_TENANT } from '../auth/tokens.ts'

/** The demands of an attempt on a runner, and whose runners it may have. */
export interface Need {
  tenant: string
  requires: Requirements
  /** Where the group's runners are each made for one run: that run. */
  run?: string
  /** The kinds of boxes that it, and the steps that follow it there, have to be in; absent: none. */
  boxes?: readonly BoxKind[]
}
type BoxKind = Exclude<Isolation, 'none'>

/** Of a group of runners: the least box of whatever runs in it. */
export type GroupBox = Pick<BoxAsk, 'isolation' | 'network'>

export const DEFAULT_GROUP = 'default'

/** Names one runner among those of all tenants: ids are unique in a tenant alone. Only the hub's memory knows it, and it is shown nowhere. */
export type RunnerKey = string & { readonly _brand: 'RunnerKey' }

/** Without a tenant, the first one's. */
export const runnerKey = (tenant: string | undefined, id: string): RunnerKey =>
  JSON.stringify([tenant ?? DEFAULT_TENANT, id]) as RunnerKey

export function needOf({
  tenant = DEFAULT_TENANT,
  requires,
  isolation: asked,
  network,
}: Pick<AttemptSpec, 'tenant' | 'requires' | 'isolation' | 'network'>): Need {
  // A bot stands in a container of its own.
  if (!takesSlot(requires)) return { tenant, requires }
  const boxes = kinds([boxFor(asked, network), ...(requires.boxes ?? [])])
  return { tenant, requires, ...(boxes.length > 0 && { boxes }) }
}

/** Each kind once, in one order. */
const kinds = (isolations: readonly (Isolation | undefined)[]): BoxKind[] =>
  [...new Set(isolations.filter((each) => each !== undefined && each !== 'none'))].sort()

/** The spec as it goes to a runner of the group: the stricter of both. Private hosts are the operator's to open, of run or step none. */
export function withGroupBox(spec: AttemptSpec, group: GroupBox): AttemptSpec {
  if (!takesSlot(spec.requires)) return spec
  const { isolation, image } = spec
  const asked = { isolation, network: permitted(spec.network, group.network), image }
  return { ...spec, ...strictestAsk(asked, group) }
}

/** A bot goes on for days and is idle for most of them: slots are for what ends. */
export const takesSlot = ({ containers }: Requirements): boolean => containers !== true

/** A runner that is named may be of any group. */
export const groupOf = ({ runner, group }: Requirements): string | undefined =>
  group ?? (runner === undefined ? DEFAULT_GROUP : undefined)

/** Equal for steps of a run that share a workspace, whatever they use of the machine. */
export const workspaceKey = ({ runner, group, labels }: Requirements): string =>
  JSON.stringify([runner, group, sorted(labels)])

/** Equal for equal needs. */
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
  /** The boxes that it can make; undefined: none, or that is not known of one that is away. */
  readonly isolation?: GivenIsolation | undefined
  /** The least box in its group. */
  readonly groupBox?: GroupBox | undefined
  readonly slots: number
  /** Slots taken. */
  readonly used: number
  /** The resources that it offers, and what of them is not kept for an attempt. */
  readonly cpus: number
  readonly freeCpus: number
  readonly memoryBytes: number
  readonly freeMemoryBytes: number
  /** So many cores of bots are one that is kept; undefined: none is kept for bots. */
  readonly botOvercommit?: number
  /** Nothing new is put on it, so that what is large finds room there. */
  readonly kept: boolean
  readonly status: 'connected' | 'disconnected' | 'draining'
  /** Set while it is away, or ends just now, and has time to come back. */
  readonly awaited: boolean
  /** The run that it was made for; null: one that it does not have yet; undefined: it is for all. */
  readonly run?: string | null | undefined
  /** An admin drains it: it takes the next steps of what has files there, and nothing else. */
  readonly finishing: boolean
}

/** Connected, and would have room for it if it had nothing else. */
export const takes = (runner: Candidate, need: Need): boolean =>
  runner.status === 'connected' && offers(runner, need)

/** Whether what works there stays: the files are there, and it takes the next step too, now or once it is back. */
export const keeps = (home: Candidate, need: Need): boolean =>
  (goesOn(home) || home.awaited) && offers(home, need)

/** Whether the runner is there, and what works there may begin its next step. */
export const goesOn = ({ status, finishing }: Candidate): boolean => status === 'connected' || finishing

/** Whether it would do, were it connected and empty. */
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

/** Not made for another run. */
export const isForRun = ({ run }: Candidate, need: Need): boolean =>
  run === undefined || (run === null ? need.run !== undefined : run === need.run)

/** The one that is named, or of the group. */
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

/** The kinds of boxes that the runner has to give for it: as it asks itself, and as the group does. */
export function boxesNeeded({ groupBox }: Candidate, { requires, boxes = [] }: Need): readonly BoxKind[] {
  if (groupBox === undefined || !takesSlot(requires)) return boxes
  const asked = boxes.length === 0 ? [undefined] : boxes
  return kinds(asked.map((isolation) => strictestAsk({ isolation }, groupBox).isolation))
}

/** The first of them that the runner cannot give. One that comes back tells what it can anew. */
export const lackingBox = (runner: Candidate, need: Need): BoxKind | undefined =>
  boxesNeeded(runner, need).find(
    (kind) => !(runner.isolation?.[kind].usable ?? (runner.status === 'disconnected' && runner.awaited)),
  )

/** Whether the runner can put it, and what follows it there, into the boxes that they have to be in. */
export const givesBox = (runner: Candidate, need: Need): boolean => lackingBox(runner, need) === undefined

/** The amounts that the runner must offer: the run stays there, so also for the largest of its steps. */
export const largestOf = ({ cpus = 0, memory_bytes = 0, largest }: Requirements) => ({
  cpus: Math.max(cpus, largest?.cpus ?? 0),
  memoryBytes: Math.max(memory_bytes, largest?.memory_bytes ?? 0),
})

function isLargeEnough(runner: Candidate, requires: Requirements): boolean {
  const { cpus, memoryBytes } = largestOf(requires)
  return runner.cpus >= cpus && runner.memoryBytes >= memoryBytes
}

/** A step that names no amount takes a slot only. */
export const hasRoom = (runner: Candidate, requires: Requirements): boolean =>
  hasSlot(runner, requires) && hasCpus(runner, requires) && hasMemory(runner, requires)

export const hasSlot = (runner: Candidate, requires: Requirements): boolean =>
  !takesSlot(requires) || runner.used < runner.slots

export function hasCpus(runner: Candidate, requires: Requirements): boolean {
  const cpus = keptCpus(runner, requires)
  return cpus === 0 || runner.freeCpus >= cpus - ROUNDING
}

export const hasMemory = (runner: Candidate, { memory_bytes = 0 }: Requirements): boolean =>
  memory_bytes === 0 || runner.freeMemoryBytes >= memory_bytes

/** Of the cores that it asks for: those of a bot are the most that it may use, and shared by weight. */
export function keptCpus({ botOvercommit }: Candidate, requires: Requirements): number {
  const { cpus = 0 } = requires
  if (takesSlot(requires)) return cpus
  return botOvercommit === undefined ? 0 : cpus / botOvercommit
}
/** Of what a division leaves. */
const ROUNDING = 1e-6
