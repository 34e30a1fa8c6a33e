import type { Requirements } from '../../contract/attempt.ts'
import {
  type Candidate,
  givesBox,
  goesOn,
  groupOf,
  hasCpus,
  hasMemory,
  hasRoom,
  hasSlot,
  isForRun,
  isNamed,
  isReserved,
  lackingBox,
  largestOf,
  type Need,
  offers,
  type RunnerKey,
  reservedCpus,
  suits,
  takes,
  takesSlot,
} from './matching.ts'

export interface Wishes {
  /** The runner that has the files of the run. */
  home?: RunnerKey
  /** Runners that have rejected the attempt. */
  not?: ReadonlySet<RunnerKey>
}

export type Choice =
  | { type: 'runner'; key: RunnerKey }
  | Waiting
  /** Every runner that could take it has rejected it. */
  | { type: 'rejected' }

/**
 * Chooses a runner for an attempt. The run's home comes first if it can take the attempt now or when it is back.
 * Otherwise it is the runner with the most free slots, or for a bot the most free memory.
 */
export function choose(need: Need, runners: ReadonlyMap<RunnerKey, Candidate>, wishes: Wishes = {}): Choice {
  const { not } = wishes
  const home = wishes.home && runners.get(wishes.home)
  const canTake = (runner: Candidate) => takes(runner, need) && !not?.has(runner.key)
  if (home && isReserved(home, need) && !not?.has(home.key)) {
    const free = goesOn(home) && !home.reserved && hasRoom(home, need.requires)
    return free ? { type: 'runner', key: home.key } : whyWaits(need, [home], wishes)
  }
  const isFreer = takesSlot(need.requires) ? hasMoreSlots : hasMoreMemory
  let best: Candidate | undefined
  for (const runner of runners.values())
    if (hasRoom(runner, need.requires) && !runner.reserved && canTake(runner))
      best = best === undefined || isFreer(runner, best) ? runner : best
  return best ? { type: 'runner', key: best.key } : whyWaits(need, [...runners.values()], { not })
}

const hasMoreSlots = (a: Candidate, b: Candidate): boolean => a.slots - a.used > b.slots - b.used
const hasMoreMemory = (a: Candidate, b: Candidate): boolean => a.freeMemoryBytes > b.freeMemoryBytes

/** Explains why an attempt waits. The figures in the text may change while the cause stays the same. */
export interface Waiting {
  type: 'wait'
  /** `none`: no connected runner can ever take it. All other causes: it waits for runners that can. */
  cause: 'none' | 'away' | 'draining' | 'rejected' | 'slots' | 'cpus' | 'memory' | 'room' | 'kept'
  why: string
}

const GB = 1024 ** 3
const MB = 1024 ** 2

/**
 * Explains why `choose` found no place. With `home`, the attempt waits for that runner alone, which is the only one
 * in the list.
 */
function whyWaits(
  need: Need,
  runners: readonly Candidate[],
  { home, not }: Wishes,
): Waiting | { type: 'rejected' } {
  const { tenant, requires } = need
  if (home !== undefined && runners[0]?.awaited)
    return wait('away', `runner "${runners[0].id}", which has the files of this run, is not connected`)
  // Runs do not see runners that were provisioned for another run.
  const known = runners.filter((runner) => runner.tenant === tenant && isForRun(runner, need))
  const present = known.filter((runner) => runner.status !== 'disconnected')
  if (present.length === 0) return wait('none', 'no runner is connected')

  const group = groupOf(requires)
  const where = group === undefined ? '' : ` of group "${group}"`
  const named = present.filter((runner) => isNamed(runner, requires))
  if (named.length === 0) return wait('none', whoIsMissing(requires, present))
  const none = requires.runner === undefined ? `no runner in group "${group}"` : `runner "${requires.runner}"`
  const lacks = whatIsLacking(need, named)
  if (lacks !== undefined)
    return wait('none', requires.runner === undefined ? `${none} ${lacks.none}` : `${none} ${lacks.one}`)

  const able = named.filter((runner) => offers(runner, need))
  const taking = able.filter(home === undefined ? ({ status }) => status === 'connected' : goesOn)
  if (taking.length === 0)
    return wait(
      'draining',
      able.length > 1
        ? `all ${able.length} runners${where} are draining`
        : `runner "${able[0]!.id}" is draining`,
    )
  const willing = taking.filter((runner) => !not?.has(runner.key))
  if (willing.length === 0) {
    const others = known.some((runner) => !not?.has(runner.key) && offers(runner, need))
    return others ? wait('rejected', `the connected runners${where} rejected it`) : { type: 'rejected' }
  }
  const which = home === undefined ? where : ', which has the files of this run,'
  return noRoom(requires, willing, which)
}

function whoIsMissing(requires: Requirements, present: readonly Candidate[]): string {
  const group = groupOf(requires)
  if (group !== undefined && !present.some((runner) => runner.group === group))
    return `no runner in group "${group}"`
  return `runner "${requires.runner}"${group === undefined ? '' : ` of group "${group}"`} is not connected`
}

/**
 * Returns what none of these runners has, however idle it is, in two wordings: after "no runner" and after the name
 * of one.
 */
function whatIsLacking(need: Need, runners: readonly Candidate[]): { none: string; one: string } | undefined {
  const { requires } = need
  const { mode, labels = {}, containers } = requires
  let left = runners.filter((runner) => suits(runner, { mode }))
  if (left.length === 0) {
    const modes = mode === undefined ? 'all' : `${mode} or all`
    return { none: `has mode ${modes}`, one: `has mode ${runners[0]!.mode}, but mode ${modes} is needed` }
  }
  left = left.filter((runner) => suits(runner, { mode, labels }))
  if (left.length === 0) {
    const labelTexts = Object.entries(labels).map(([name, value]) => `${name}=${value}`)
    const text = `label${labelTexts.length > 1 ? 's' : ''} ${labelTexts.join(', ')}`
    return { none: `has ${text}`, one: `does not have ${text}` }
  }
  left = left.filter((runner) => suits(runner, { mode, labels, containers }))
  if (left.length === 0) {
    const hint = "start Docker there, or set the runner's DOCKER_HOST"
    return { none: `has a container engine (${hint})`, one: `has no container engine (${hint})` }
  }
  const boxless = left
  left = left.filter((runner) => givesBox(runner, need))
  if (left.length === 0) return noBox(need, boxless)

  const { cpus, memoryBytes } = largestOf(requires)
  const enough = left.filter((runner) => runner.cpus >= cpus)
  const most = (of: (runner: Candidate) => number) => left.reduce((a, b) => (of(b) > of(a) ? b : a))
  if (enough.length === 0) {
    const { id, cpus: has } = most((runner) => runner.cpus)
    return {
      none: `offers ${cpusText(cpus)} (most: ${has} on "${id}")`,
      one: `offers ${cpusText(has)}, but ${cpus} are needed`,
    }
  }
  if (enough.some((runner) => runner.memoryBytes >= memoryBytes)) return undefined
  const { id, memoryBytes: has } = most((runner) => runner.memoryBytes)
  const size = sizeText(memoryBytes)
  if (has < memoryBytes)
    return {
      none: `offers ${size} of memory (most: ${sizeText(has)} on "${id}")`,
      one: `offers ${sizeText(has)} of memory, but ${size} is needed`,
    }
  const both = `offers ${cpusText(cpus)} and ${size} of memory together`
  return { none: both, one: both }
}

/** Limits how many runners that give no box are named, and the length of each one's reason. */
const MAX_NAMED = 3
const MAX_REASON = 300

function noBox(need: Need, runners: readonly Candidate[]): { none: string; one: string } {
  const reasons = runners.slice(0, MAX_NAMED).map((runner) => {
    const kind = lackingBox(runner, need)!
    const { why } = runner.isolation?.[kind] ?? {}
    const text = why ?? (runner.isolation ? 'it gives no reason' : 'its version of Errand provides none')
    return { kind, id: runner.id, why: text.slice(0, MAX_REASON).replace(/\.$/, '') }
  })
  const [{ kind, why }] = reasons as [(typeof reasons)[number]]
  const more = runners.length > MAX_NAMED ? `; and ${runners.length - MAX_NAMED} more` : ''
  const each = reasons.map(({ id, why }) => `runner "${id}": ${why}`).join('; ')
  return { none: `can provide a ${kind}: ${each}${more}`, one: `cannot provide a ${kind}: ${why}` }
}

/** Explains why willing runners have no room now. `which` follows their number or name in the text. */
function noRoom(requires: Requirements, willing: readonly Candidate[], which: string): Waiting {
  const several = willing.length > 1
  const who = several ? `all ${willing.length} runners${which}` : `runner "${willing[0]!.id}"${which}`
  const [are, have] = several ? ['are', 'have'] : ['is', 'has']
  const { memory_bytes = 0 } = requires
  const cpus = Math.min(...willing.map((runner) => reservedCpus(runner, requires)))
  const most = (of: (runner: Candidate) => number) => willing.reduce((a, b) => (of(b) > of(a) ? b : a))
  if (!willing.some((runner) => hasSlot(runner, requires)))
    return wait('slots', `${who} ${are} busy (${slotsOf(willing)})`)
  if (!willing.some((runner) => hasCpus(runner, requires))) {
    const { id, freeCpus } = most((runner) => runner.freeCpus)
    const free = rounded(freeCpus)
    return wait(
      'cpus',
      `${who} ${have} less than ${cpusText(cpus)} free (${several ? `most: ${free} on "${id}"` : free})`,
    )
  }
  if (!willing.some((runner) => hasMemory(runner, requires))) {
    const { id, freeMemoryBytes } = most((runner) => runner.freeMemoryBytes)
    const free = sizeText(freeMemoryBytes)
    return wait(
      'memory',
      `${who} ${have} less than ${sizeText(memory_bytes)} free (${several ? `largest: ${free} on "${id}"` : free})`,
    )
  }
  const reserved = willing.filter((runner) => runner.reserved && hasRoom(runner, requires))
  if (reserved.length > 0)
    return wait(
      'kept',
      `runner "${reserved[0]!.id}"${which} is reserved for a larger step that has waited longer`,
    )
  const parts = [
    takesSlot(requires) && 'a slot',
    cpus > 0 && cpusText(cpus),
    memory_bytes > 0 && sizeText(memory_bytes),
  ].filter(Boolean)
  return wait('room', `${who} ${are} busy: none has ${parts.join(', ')} free at the same time`)
}

const wait = (cause: Waiting['cause'], why: string): Waiting => ({ type: 'wait', cause, why })
/** Rounds down to one decimal, so that the text never promises more than there is. */
const rounded = (amount: number): number => Math.max(0, Math.floor(amount * 10) / 10)
export const cpusText = (cpus: number): string => `${cpus} ${cpus === 1 ? 'cpu' : 'cpus'}`
/** Formats a size, rounded down so that it never promises more than there is. */
export const sizeText = (bytes: number): string =>
  bytes >= GB ? `${rounded(bytes / GB)} GB` : `${Math.max(0, Math.floor(bytes / MB))} MB`

function slotsOf(runners: readonly Candidate[]): string {
  const sum = (of: (runner: Candidate) => number) => runners.reduce((total, runner) => total + of(runner), 0)
  return `${sum((runner) => runner.used)} of ${sum((runner) => runner.slots)} slots`
}
